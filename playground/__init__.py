"""The playground for dynamic durable workflows in Python."""
