"""Benchmarks, which `make bench` runs, and the pages about cost and scale that are computed from them."""
