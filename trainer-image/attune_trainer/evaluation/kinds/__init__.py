"""How each kind of held-out row is scored, one file per kind, each behind the interface of `base.py`."""
