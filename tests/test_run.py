"""The `run` script, with a uv that only notes what it is asked: when it sets up, when it does nothing, what it passes
on.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
MADE_FROM = ["pyproject.toml", "requirements.lock", "hatch_build.py", "web/package.json", "static/js/app.js"]

UV = f"""#!/bin/sh
printf '%s\\n' "$*" >> "$UV_NOTES"
case "$1 $2" in
    "--version ") echo 'uv 0' ;;
    "venv "*) for folder; do :; done; mkdir -p "$folder/bin"; ln -s '{sys.executable}' "$folder/bin/python" ;;
    "pip sync") [ ! -e "$UV_FAILS" ] ;;
    "python find") [ -n "$UV_FINDS" ] && echo "$UV_FINDS" ;;
esac
"""

REFUSES = "#!/bin/sh\nexit 1\n"
UTILITIES = [
    "sh",
    "cat",
    "cksum",
    "dirname",
    "env",
    "find",
    "flock",
    "id",
    "ln",
    "mkdir",
    "rm",
    "sed",
    "sort",
    "true",
    "uname",
]


class Checkout:
    """A copy of what `run` looks at, and the notes of its uv."""

    def __init__(self, root: Path, outside: Path) -> None:
        self.root = root
        self.outside = outside
        for name in ["run", *MADE_FROM]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        (outside / "bin").mkdir(parents=True)
        # Nothing may be installed on the machine by a test.
        for name, script in {"uv": UV, "apt-get": REFUSES, "sudo": REFUSES}.items():
            (outside / "bin" / name).write_text(script)
            (outside / "bin" / name).chmod(0o755)

    def run(  # `python` is asked for, `found` is the interpreter that uv knows
        self,
        *words: str,
        cwd: Path | None = None,
        path: str = os.environ["PATH"],
        python: str | Path = "",
        found: str | Path = "",
    ) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{self.outside / 'bin'}:{path}",
            "HOME": str(self.outside),
            "UV_NOTES": str(self.outside / "notes"),
            "UV_FAILS": str(self.outside / "fails"),
            "UV_FINDS": str(found),
            "RUN_PYTHON": str(python),
        }
        return subprocess.run(
            [self.root / "run", *words],
            check=False,
            cwd=cwd or self.root,
            env=environment,
            capture_output=True,
            text=True,
        )

    def asked(self) -> list[str]:
        """What uv was asked since last time, in two words each; looking for it apart."""
        notes = self.outside / "notes"
        lines = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return [" ".join(line.split()[:2]) for line in lines if line != "--version"]


SET_UP = ["venv --quiet", "pip sync", "pip install"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout", tmp_path / "outside")


def test_the_first_time_sets_up_and_the_second_does_nothing(checkout: Checkout) -> None:
    assert checkout.run("true").returncode == 0
    assert checkout.asked() == SET_UP
    assert checkout.run("true").returncode == 0
    assert checkout.asked() == []


@pytest.mark.parametrize("name", MADE_FROM)
def test_a_change_of_what_it_was_made_from_brings_it_up_to_date(checkout: Checkout, name: str) -> None:
    checkout.run("true")
    checkout.asked()
    with (checkout.root / name).open("a") as file:
        file.write("\n")
    assert checkout.run("true").returncode == 0
    assert checkout.asked() == ["pip sync", "pip install"]


def test_node_modules_are_not_what_it_was_made_from(checkout: Checkout) -> None:
    checkout.run("true")
    checkout.asked()
    (checkout.root / "web/node_modules").mkdir()
    (checkout.root / "web/node_modules/x.js").write_text("1")
    checkout.run("true")
    assert checkout.asked() == []


def test_a_moved_checkout_is_set_up_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("true")
    checkout.asked()
    checkout.root = checkout.root.rename(tmp_path / "moved")
    assert checkout.run("true").returncode == 0
    assert checkout.asked() == SET_UP


def test_a_failed_set_up_is_said_and_tried_again(checkout: Checkout) -> None:
    (checkout.outside / "fails").touch()
    assert checkout.run("echo", "ran").returncode != 0
    assert "ran" not in checkout.run("echo", "ran").stdout
    checkout.asked()
    (checkout.outside / "fails").unlink()
    assert checkout.run("echo", "ran").stdout == "ran\n"
    assert checkout.asked() == ["pip sync", "pip install"]


def test_words_folder_and_exit_code_are_passed_on(checkout: Checkout, tmp_path: Path) -> None:
    script = 'printf "%s|" "$PWD" "$VIRTUAL_ENV" "$@"; exit 7'
    done = checkout.run("sh", "-c", script, "sh", "two words", "*", cwd=tmp_path)
    assert done.stdout == f"{tmp_path}|{checkout.root / '.venv'}|two words|*|"
    assert done.returncode == 7


def test_the_environment_comes_first_on_path(checkout: Checkout) -> None:
    assert checkout.run("sh", "-c", "command -v python").stdout.strip() == str(checkout.root / ".venv/bin/python")


def test_another_python_has_an_environment_of_its_own(checkout: Checkout) -> None:
    where = ["sh", "-c", 'echo "$VIRTUAL_ENV"; command -v python']
    other = checkout.root / ".venv-3.13"
    assert checkout.run("true").returncode == 0
    checkout.asked()
    done = checkout.run(*where, python="3.13", found=sys.executable)
    assert done.stdout.split("\n") == [str(other), str(other / "bin/python"), ""]
    assert checkout.asked() == ["python find", *SET_UP]
    # Going to and fro costs nothing.
    assert checkout.run(*where, python="3.13").stdout == done.stdout
    assert checkout.run(*where).stdout.startswith(f"{checkout.root / '.venv'}\n")
    assert checkout.asked() == []


def test_a_python_may_be_given_by_its_path(checkout: Checkout) -> None:
    interpreter = checkout.outside / "bin" / "my-python"
    interpreter.symlink_to(sys.executable)
    done = checkout.run("sh", "-c", 'echo "$VIRTUAL_ENV"', python="bin/my-python", cwd=checkout.outside)
    assert checkout.asked() == SET_UP
    assert Path(done.stdout.strip()).name == ".venv" + re.sub("[^A-Za-z0-9.]+", "-", str(interpreter))
    assert checkout.run("true", python=interpreter).returncode == 0
    assert checkout.asked() == []


def test_pyenvs_versions_are_found(checkout: Checkout) -> None:
    folder = checkout.outside / ".pyenv/versions/3.13.0/bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    assert checkout.run("true", python="3.13").returncode == 0
    assert checkout.asked() == ["python find", *SET_UP]
    assert checkout.run("true", python="3.1").returncode == 1


@pytest.mark.parametrize("python", ["3.99", "/nowhere/python", "/etc/passwd"])
def test_a_python_that_is_not_there_is_said(checkout: Checkout, python: str) -> None:
    done = checkout.run("echo", "ran", python=python)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"RUN_PYTHON is {python}: no such Python is on this machine" in done.stderr
    assert not {"venv --quiet", "pip sync"} & set(checkout.asked())


def test_too_old_a_python_is_said(checkout: Checkout) -> None:
    old = checkout.outside / "old"
    old.write_text("#!/bin/sh\ncase $1 in -V) echo Python 3.10.4 ;; esac\ncase $2 in *version_info*) exit 1 ;; esac\n")
    old.chmod(0o755)
    for given in ({"python": old}, {"python": "3.10", "found": old}):
        done = checkout.run("echo", "ran", **given)
        assert (done.returncode, done.stdout) == (1, "")
        assert "that is Python 3.10.4, and this project needs Python 3.11 or a newer one" in done.stderr


def test_what_is_neither_a_version_nor_a_path_is_refused(checkout: Checkout) -> None:
    done = checkout.run("true", python=">=3.13")
    assert done.returncode == 2
    assert "write a version such as 3.13, or the path of an interpreter" in done.stderr


def test_without_words_it_says_how_it_is_used(checkout: Checkout) -> None:
    done = checkout.run()
    assert done.returncode == 2
    assert "./run playground" in done.stderr
    assert checkout.asked() == []


def test_a_missing_bubblewrap_is_said_with_what_follows_and_the_cure(checkout: Checkout, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in UTILITIES:
        if found := shutil.which(name):
            (few / name).symlink_to(found)
    done = checkout.run("true", path=str(few))
    assert done.returncode == 0
    assert "bubblewrap is missing" in done.stderr
    assert "tier B" in done.stderr
    assert "apt-get install bubblewrap" in done.stderr
