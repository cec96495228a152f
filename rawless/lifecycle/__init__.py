"""Encoders over time: what they would gain, how they compare, and how a stream moves from one to the next."""
