"""The proofs: what the rooms promise, shown from outside."""
