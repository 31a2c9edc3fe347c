"""The Model Context Protocol: agents call workflows as tools, follow runs as tasks and answer what they wait for."""
