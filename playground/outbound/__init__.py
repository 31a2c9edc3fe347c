"""Requests to the world: which hosts and addresses may be reached, and the one HTTP client that keeps to it."""
