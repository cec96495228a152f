"""Erasing persons and events: what `rawless erase` finds, deletes, marks and certifies."""
