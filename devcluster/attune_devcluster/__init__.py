"""The local Kubernetes for Attune's demo and tests: `python3 -m attune_devcluster up|down|status|env|image`.

Only the standard library is used, because this runs before any virtual environment exists.
"""
