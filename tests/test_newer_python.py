"""What a Python decides of the quick tests passes on a newer one too, where this machine has one.

The rule: a test is played again if what it holds can only change with the interpreter, and it is about code that a
worker or the check runs: its syntax tree, values and their text, errors and their frames, names, tasks and the order
of their events. The engine's own modules, the store and HTTP run on the Python that the server was installed with; a
change of theirs in a new Python shows as a warning or an error in whatever plays a workflow.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
NEWER = [version for version in ("3.14", "3.13", "3.12") if int(version.split(".")[1]) > sys.version_info.minor]
SECONDS = 900
# Of what the running Python tries, too.
FEWER = {"CRASH_EXAMPLES": "1", "REPLAY_EXAMPLES": "1", "HYPOTHESIS_EXAMPLES": "5"}
PLAYED = (
    *("analysis_*", "worker_*", "workflows_state", "workflows_values"),
    *(f"cases_{name}" for name in ("cancelled", "errors", "order", "values")),
    *(f"semantics_{name}" for name in ("values", "errors", "parallel", "replay")),
)
# A case is played undisturbed, and with a replay after every commit, which holds what the others would show; that
# something ends is a question of its steps, which no Python changes.
PASSED_OVER = ("hibernated-at-every-wait", "worker-killed-at-every-wait", "server-killed-at-every-wait", "test_ends_on")


def run(version: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Carry out a command by `./run` on this Python."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [ROOT / "run", *words],
        cwd=ROOT,
        env={**ours, **FEWER, "RUN_PYTHON": version},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def newest() -> str:
    """The newest Python that this machine has beside the running one, its environment made."""
    for version in NEWER:
        made = run(version, "true")
        if made.returncode == 0:
            return version
        assert "no such Python is on this machine" in made.stderr, made.stderr
    pytest.skip(
        f"This machine has no Python newer than the running {sys.version_info.major}.{sys.version_info.minor} "
        "(known to uv or to pyenv), so that nothing was tested on one."
    )


def test_what_a_python_decides_passes_on_the_newest_one_here() -> None:
    version = newest()
    files = [str(file) for name in PLAYED for file in sorted(ROOT.glob(f"tests/test_{name}.py"))]
    # One process: others of this run have the other cores.
    chosen = ("-m", "quick", "-k", f"not ({' or '.join(PASSED_OVER)})")
    done = run(version, "pytest", "-q", *chosen, "--numprocesses=1", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 500, done.stdout
