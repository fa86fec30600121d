"""The four stages of a run, each a program that reads one RunConfig: preflight, train, evaluate, publish.

Out of bounds here: Kubernetes and its API. A stage knows an object store, a scratch folder and nothing else, so it runs
the same in a pod and on a laptop. Nothing on the way to preflight imports torch: its image has none.
"""
