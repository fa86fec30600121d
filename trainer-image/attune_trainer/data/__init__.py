"""From files in whatever shape to checked rows in one canonical form. Only preflight knows file formats.

Everything streams: no file is ever whole in memory. No torch here; preflight's image has none.
"""
