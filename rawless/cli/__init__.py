"""The command line: `rawless COMMAND`."""
