"""One execution: a worker's whole life for an instance.

It starts at `execution.Execution`; the other files are its parts.
"""
