"""Drift: whether a window of a stream's embeddings differs from a reference by more than chance and habit explain."""
