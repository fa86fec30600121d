"""One file per method, each behind the interface of `base.py`. Imports torch: never reached from preflight."""
