"""The Beam jobs and their steps as composite transforms, one verb a file."""

from pipelines import elements as elements  # registers the coders, before any step declares its types
