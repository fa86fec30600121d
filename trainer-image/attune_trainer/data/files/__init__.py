"""Readers, one per kind of file, each a generator of records: a file of any size in constant memory."""
