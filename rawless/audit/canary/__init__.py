"""Canaries: events with content that nobody could guess go through a pipeline, and every sink is searched for it."""
