"""One file a command or group of commands. Heavy libraries are imported by the command that needs them."""
