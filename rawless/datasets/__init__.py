"""Datasets: build an immutable, labelled snapshot from a dataset file."""
