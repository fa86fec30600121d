"""Metrics of answers: what each makes of one row, and of all rows from the sum of these.

Pure code, without torch. `base` has the interface, `select` the way from a manifest's metric to its class here, and
docs/metrics.md the table of definitions and reference libraries.
"""
