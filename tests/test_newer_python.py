"""The quick tests pass on a newer Python too, where this machine has one."""

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
# Node, SQLite, or the engine's rules decide what these say, and not how a Python behaves. They are half of the time.
LEFT_OUT = (
    *(
        "page_*",
        "store_*",
        "folds_*",
        "rooms.py",
        "lint.py",
        "source_text.py",
        "hostile_*",
        "gate.py",
        "nodes*",
        "break*",
        "open_steps.py",
    ),
    *(
        "semantics_breakpoints.py",
        "semantics_rollback*",
        "semantics_re[cs]*",
        "semantics_create.py",
        "semantics_events.py",
    ),
)


def run(version: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Carry out a command by `./run` on this Python."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [ROOT / "run", *words],
        cwd=ROOT,
        env={**ours, "RUN_PYTHON": version},
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


def test_the_quick_tests_pass_on_the_newest_python_here() -> None:
    version = newest()
    # One process: others of this run have the other cores.
    left_out = [f"--ignore-glob=*/test_{name}" for name in LEFT_OUT]
    done = run(version, "pytest", "-q", "-m", "quick", "--numprocesses=1", "-p", "no:cacheprovider", *left_out)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 1_500, done.stdout
