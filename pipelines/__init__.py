"""The Beam jobs: their graphs, options and runs. Their steps are those of `rawless.steps`."""

from pipelines import coders as coders  # registers the coders before any step declares its types
