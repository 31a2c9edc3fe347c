"""A real server on machines that isolate less: it says so in one line with the cure and exits with 2, or serves when
told that this is accepted.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from server_support import Server

# A kernel without Landlock: its first call is answered as if there were no such call, for this process and all that it
# starts.
NO_LANDLOCK = """
import os, sys, pyseccomp as lib
rules = lib.SyscallFilter(lib.ALLOW)
rules.add_rule(lib.ERRNO(38), 444)
rules.load()
os.execv(sys.executable, [sys.executable, "-m", "playground", *sys.argv[1:]])
"""
# A machine without libseccomp.
NO_SECCOMP = """
import runpy, sys
sys.modules["pyseccomp"] = None
runpy.run_module("playground", run_name="__main__", alter_sys=True)
"""


def refusal(machine: str, folder: Path, *options: str) -> str:
    """What a server says before it exits with 2: one line beside its log."""
    ran = subprocess.run(
        [sys.executable, "-c", machine, "--port", "0", "--database", f"sqlite:///{folder / 'p.db'}", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    said = [line for line in ran.stderr.splitlines() if line.startswith("playground: ")]
    assert len(said) == 1
    assert ran.stderr.splitlines()[-1] == said[0]
    assert "Traceback" not in ran.stderr
    return said[0]


def tier_line(machine: str, folder: Path, *options: str) -> str:
    """What a server that starts says of its isolation."""
    server = Server(folder, *options, command=(sys.executable, "-c", machine)).start()
    assert server.stop() == 0
    (line,) = (line.strip() for line in server.printed if line.startswith("Isolation tier"))
    return line


@pytest.mark.parametrize(
    ("machine", "options", "said"),
    [
        (NO_LANDLOCK, (), ("Tier C", "Use a kernel of version 6.12", "--allow-weak-sandbox")),
        (NO_SECCOMP, ("--allow-weak-sandbox",), ("Tier D", "NOT isolated", "libseccomp2", "--unsafe-no-sandbox")),
        (NO_SECCOMP, ("--unsafe-no-sandbox", "--host", "0.0.0.0"), ("Tier D", "loopback address only", "127.0.0.1")),
    ],
    ids=["no Landlock", "no filter", "no filter, accepted for the world"],
)
def test_too_little_is_refused_in_one_line_with_the_cure(
    machine: str, options: tuple[str, ...], said: tuple[str, ...], tmp_path: Path
) -> None:
    line = refusal(machine, tmp_path, *options)
    assert all(words in line for words in said), line


@pytest.mark.parametrize(
    ("machine", "option", "line"),
    [
        (NO_LANDLOCK, "--allow-weak-sandbox", "Isolation tier C: System-call filter and namespaces, no Landlock."),
        (NO_SECCOMP, "--unsafe-no-sandbox", "Isolation tier D: NOT isolated: for your own code only."),
    ],
    ids=["no Landlock", "no filter"],
)
def test_what_was_accepted_is_served_and_called_by_its_name(
    machine: str, option: str, line: str, tmp_path: Path
) -> None:
    assert tier_line(machine, tmp_path, option) == line
