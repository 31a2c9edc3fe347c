"""The source keeps to the rules of pyproject.toml, and is laid out as the formatter lays it out."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.quick
@pytest.mark.parametrize("command", ["check", "format --check"])
def test_the_source_passes(command: str) -> None:
    linted = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
