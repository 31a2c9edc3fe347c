"""Servers of tools: what `env.MCP` calls, as a client of the Model Context Protocol."""
