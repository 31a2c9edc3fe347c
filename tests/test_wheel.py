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
def uv() -> str:
    found = shutil.which("uv") or os.environ.get("UV")
    assert found, "uv is not on PATH; start the tests with ./run pytest"
    return found


@pytest.fixture(scope="module")
def elsewhere(uv: str, wheel: Path) -> tuple[str, ...]:
    """The command that runs `playground` as `uvx` does: in an environment that uv makes for it of the wheel and what it
    requires, at the locked versions.
    """
    options = ("--quiet", "--isolated", "--python", sys.executable, "--constraints", str(ROOT / "requirements.lock"))
    return (uv, "tool", "run", *options, "--from", str(wheel), "playground")


def test_the_wheel_holds_the_pages_and_the_bundle(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    (entries,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    assert "[pytest11]\nplayground = playground.pytest_plugin" in zipfile.ZipFile(wheel).read(entries).decode()
    here = {file.relative_to(ROOT).as_posix() for file in (ROOT / "templates").rglob("*") if file.is_file()}
    assert here
    assert {f"playground/{name}" for name in here} <= set(names)
    assert {"workers-stubs/__init__.pyi", "workers-stubs/workflows.pyi"} <= set(names)
    assert not any(name.startswith("workers/") for name in names), "a module of that name is Cloudflare's"
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


def found_by(command: list[str | Path], folder: Path) -> tuple[set[tuple[str, int, str]], str]:
    """File, line and code of each error that a type checker names."""
    environment = {**os.environ, "MYPY_CACHE_DIR": str(folder.parent / "mypy-cache"), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(\w+\.py):(\d+)(?::\d+)?: error(?:: .*)?\[([\w-]+)\]", done.stdout, flags=re.MULTILINE)
    return {(file, int(line), code) for file, line, code in found}, done.stdout + done.stderr


def test_type_checkers_know_workers_where_the_wheel_is(uv: str, wheel: Path, tmp_path: Path) -> None:
    """They find nothing in the examples, in the document's program and in one that uses every form, and in another one
    each mistake.
    """
    home, folder = tmp_path / "environment", tmp_path / "programs"
    folder.mkdir()
    python = home / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, home], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True, cwd=tmp_path)
    examples = [it for it in (ROOT / "playground/examples").glob("*.py") if it.name != "__init__.py"]
    for file in (*(ROOT / "tests/fixtures/typed").glob("*.py"), *examples):
        shutil.copy(file, folder)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/types.md").read_text(), re.DOTALL)
    (folder / "document.py").write_text(program)
    marked = [
        (number, *found.group(1).split())
        for number, line in enumerate((folder / "misuse.py").read_text().splitlines(), 1)
        if (found := re.search(r"  # ([\w-]+ [\w-]+)$", line))
    ]
    assert len(marked) > 15 and len(examples) > 20
    mypy = [sys.executable, "-m", "mypy", "--check-untyped-defs", "--python-executable", python, "."]
    ty = ["ty", "check", "--output-format", "concise", "--python", python, "."]
    for command, place in ((mypy, 1), (ty, 2)):
        found, said = found_by(command, folder)
        assert found == {("misuse.py", mark[0], mark[place]) for mark in marked}, said


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
