"""Shallow models on frozen vectors: reading snapshots, training, evaluating, publishing and deploying heads."""
