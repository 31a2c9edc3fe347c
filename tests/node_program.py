"""A server as a process of its own whose leases are short enough for others to see them end, on a machine whose clock
is wrong: `python tests/node_program.py LEASE_MS WRONG_MS OPTION ...`.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
lease_ms, wrong_ms = int(sys.argv[1]), int(sys.argv[2])
right_ns, right = time.time_ns, time.time
time.time_ns = lambda: right_ns() + wrong_ms * 1_000_000
time.time = lambda: right() + wrong_ms / 1000

from playground.cli import parse_command_line
from playground.engine import schedules
from playground.serving import Node, serve

schedules.LEASE_MS, schedules.POLL_SECONDS = lease_ms, lease_ms / 1000
serve(parse_command_line(sys.argv[3:], os.environ), Node(lease_ms=lease_ms))
