"""The wheel, built from this checkout, installed in a clean environment elsewhere, serves the page whole."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest
from server_support import Server, ask

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path) -> tuple[str, ...]:
    """The command that runs `playground` as `uvx` does: in an environment that uv makes for it of the wheel and what it
    requires, at the locked versions.
    """
    uv = shutil.which("uv") or os.environ.get("UV")
    assert uv, "uv is not on PATH; start the tests with ./run pytest"
    options = ("--quiet", "--isolated", "--python", sys.executable, "--constraints", str(ROOT / "requirements.lock"))
    return (uv, "tool", "run", *options, "--from", str(wheel), "playground")


def test_the_wheel_holds_the_pages_and_the_bundle(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    (entries,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    assert "[pytest11]\nplayground = playground.pytest_plugin" in zipfile.ZipFile(wheel).read(entries).decode()
    here = {file.relative_to(ROOT).as_posix() for file in (ROOT / "templates").rglob("*") if file.is_file()}
    assert here
    assert {f"playground/{name}" for name in here} <= set(names)
    assert {"playground/py.typed", "playground_bundle/dist/manifest.json"} <= set(names)
    entries = json.loads(zipfile.ZipFile(wheel).read("playground_bundle/dist/manifest.json"))
    needed = [
        list(entry.get("later", {}).values()) + [[entry["file"], *entry.get("imports", [])]]
        for entry in entries.values()
    ]
    files = {file for entry in needed for some in entry for file in some}
    assert {"js/app.js", "css/play.css", "editor/editor.js", "editor/LICENSES.txt", "icon.svg"} <= set(entries)
    assert {f"playground_bundle/dist/{file}" for file in files} <= set(names)
    assert {"playground/web/pages/fonts/LICENSE.txt", "playground/web/pages/fonts/jetbrains-mono-subset.ttf"} <= set(
        names
    )
    assert [name for name in names if name.startswith(("tests/", "static/", "web/", "node_modules/"))] == []


def test_the_wheel_serves_the_page_from_anywhere(elsewhere: tuple[str, ...], tmp_path: Path) -> None:
    server = Server(tmp_path, command=elsewhere).start()
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert ask(f"{server.url}/healthz")["version"] == project["version"]
        with urllib.request.urlopen(server.url) as reply:
            page = reply.read().decode()
        linked = re.findall(r'(?:src|href|data-[a-z]+)="(/static/[^" ]+)"', page)
        assert len(linked) > 8
        for path in linked:
            with urllib.request.urlopen(server.url + path) as reply:
                assert reply.read(), path
        with urllib.request.urlopen(
            server.url + "/examples/hello.png"
        ) as reply:  # drawn in the fonts that the wheel brings
            assert reply.read().startswith(b"\x89PNG")
    finally:
        assert server.stop() == 0
