"""The commands for the terminal: run, follow and control workflows, here or on a server."""
