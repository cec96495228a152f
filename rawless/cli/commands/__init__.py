"""One module per command or group of commands. Each command imports the heavy libraries that it needs when it runs."""
