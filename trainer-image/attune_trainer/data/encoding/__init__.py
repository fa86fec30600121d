"""Encoders, one file per kind of row."""
