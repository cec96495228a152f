"""The front door: command line, local stack, demo, report pages."""
