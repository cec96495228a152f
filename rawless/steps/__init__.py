"""The steps between reading events and their rows, without Beam: Beam jobs and `rawless worker` run the same ones."""
