"""The resources as typed models, one per kind: the source of `crds/` and of the reference in `docs/reference/`.

Pure: models, rules and the generator; no client, no clock, no network.
"""
