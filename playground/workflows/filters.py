"""The words of filters and of operations on many runs, which HTTP, terminal, agents and library share.

What they mean is said by engine/run_filters.py and engine/bulk_runs.py. They are here because the terminal's parser,
which loads nothing of the engine, has them too.
"""

FIELDS = ("status", "tag", "workflow", "version", "waiting_for", "error", "text", "since", "until")
SEVERAL = frozenset({"status", "tag"})  # may be given more than once

TERMINATE, PAUSE, RESUME, RESTART, FORK, DELETE = "terminate", "pause", "resume", "restart", "fork", "delete"
OPERATIONS = (TERMINATE, PAUSE, RESUME, RESTART, FORK, DELETE)
