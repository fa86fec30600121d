"""Object stores behind one small interface. The world's errors are translated here, at one edge, into `errors.py`."""
