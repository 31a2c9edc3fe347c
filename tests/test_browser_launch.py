"""Which browser the tests take, tried in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

HERE = Path(__file__).parent
SCRIPT = """
import json, sys
from browser_support import NoBrowser, launch
from playwright.sync_api import sync_playwright

asked = []

def install(command):
    asked.append(command)
    return "refused: " + " ".join(command[-4:])

with sync_playwright() as playwright:
    try:
        launch(playwright, install).close()
        said = "launched"
    except NoBrowser as error:
        said = str(error)
json.dump({"asked": asked, "said": said}, sys.stdout)
"""


def outcome(folder: Path, **environment: str) -> dict:
    """What `launch` did with this environment, and no installer that succeeds."""
    environment["PYTHONPATH"] = str(HERE)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, cwd=folder, env=environment, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def debian(tmp_path: Path) -> str:
    """A PATH with nothing on it but an apt-get."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apt-get").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/apt-get").chmod(0o755)
    return str(tmp_path / "bin")


def test_without_any_every_way_is_tried_and_the_cures_are_named(tmp_path: Path, debian: str) -> None:
    result = outcome(tmp_path, PATH=debian, HOME=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path / "none"))
    commands = [" ".join(command) for command in result["asked"]]
    assert "playwright install --only-shell chromium" in commands[0]
    if os.geteuid() == 0:
        assert [command.split()[1] for command in commands[1:]] == ["install", "update", "install"]
    for cure in ("TEST_BROWSER", "playwright install --only-shell chromium", "apt-get install chromium"):
        assert cure in result["said"]
    assert "refused: " in result["said"]


def test_one_that_does_not_launch_is_passed_over(tmp_path: Path, debian: str, browser: Browser) -> None:
    result = outcome(tmp_path, **{**os.environ, "TEST_BROWSER": f"{debian}/apt-get"})
    assert result == {"asked": [], "said": "launched"}
