"""The distribution: nothing committed names a registry's host, locks are whole and in step, scripts are POSIX."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Git-ignored: made here, never committed.
MADE = {".git", ".venv", ".tools", "node_modules", "__pycache__", "dist", "build", ".hypothesis"}
MADE_SUFFIXES = (".pyc", ".db", ".db-wal", ".db-shm", ".png")
# Put together from halves, so that this file does not name them either.
HOSTS = [
    "".join(halves)
    for halves in (
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("registry", ".npmjs"),
        ("npmjs", ".com"),
        ("registry", ".yarnpkg"),
        ("deb.", "debian.org"),
        ("archive.", "ubuntu.com"),
    )
]
SCRIPTS = ["run", ".ci/run"]


def committed() -> Iterator[Path]:
    """Every file that is, or is about to be, committed; without git, which a bare machine lacks."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in MADE and not name.endswith("_cache") and not name.startswith(".venv-")
        ]
        yield from (Path(folder) / name for name in files if not name.endswith(MADE_SUFFIXES))


def test_no_committed_file_names_a_registry_host() -> None:
    found = []
    for file in committed():
        text = file.read_text(errors="replace").lower()
        found += [f"{file.relative_to(ROOT)} names {host}" for host in HOSTS if host in text]
    assert found == []


@pytest.mark.quick
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_posix_and_executable(script: str) -> None:
    file = ROOT / script
    assert os.access(file, os.X_OK)
    assert file.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", file], check=True)


def wanted(pyproject: dict) -> Iterator[str]:
    """Names of all that pyproject.toml asks for, tests and build included."""
    groups = [
        pyproject["project"]["dependencies"],
        pyproject["build-system"]["requires"],
        *pyproject["dependency-groups"].values(),
    ]
    for requirement in (entry for group in groups for entry in group if isinstance(entry, str)):
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert match, requirement
        yield re.sub(r"[-_.]+", "-", match[0]).lower()


def test_the_lock_has_every_requirement_with_hashes() -> None:
    locked = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip()):
        name, _, rest = entry.partition("==")
        locked[name] = rest.count("--hash=sha256:")
    assert set(wanted(tomllib.loads((ROOT / "pyproject.toml").read_text()))) - locked.keys() == set()
    assert [name for name, hashes in locked.items() if not hashes] == []


def test_the_build_group_is_what_the_build_requires() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["dependency-groups"]["build"] == pyproject["build-system"]["requires"]


def test_the_editor_lock_is_in_step_and_names_no_address() -> None:
    package = json.loads((ROOT / "web/package.json").read_text())
    lock = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]
    for kind in ("dependencies", "devDependencies"):
        assert lock[""].get(kind) == package.get(kind)
    third_party = {name: entry for name, entry in lock.items() if name}
    assert third_party
    assert [name for name, entry in third_party.items() if "resolved" in entry or "integrity" not in entry] == []
