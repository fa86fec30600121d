"""From finished runs to versions of a model, and to which of them is in use: observe → plan → record → apply."""
