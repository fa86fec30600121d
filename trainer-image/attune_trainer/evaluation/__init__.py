"""Base and tuned on the same held-out rows, in one pass each over the same tokens."""
