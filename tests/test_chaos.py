"""A short run of bench/chaos.py: a real server, its fork server and its workers killed at random under real
workflows.
"""

import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).parent.parent / "bench" / "chaos.py"
DEADLINE = 240


def test_workflows_survive_random_kills_with_every_output_right_and_every_step_committed_once():
    words = ["--seconds", "8", "--instances", "10", "--seed", "11"]
    done = subprocess.run(
        [sys.executable, str(CHAOS), *words], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every output right, every committed step once, no journal with a gap" in done.stdout
