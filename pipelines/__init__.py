"""The Beam jobs, and their steps as composite transforms with one module for each."""

from pipelines import elements as elements  # registers the coders before any step declares its types
