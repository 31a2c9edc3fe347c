"""`playground check FILE…`: findings as compilers print them, or as JSON; exit statuses for CI; nothing is run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from http_support import HELLO

from playground.checking import MAKE_SHORTER, as_excerpt

ROOT = Path(__file__).parent.parent
SECONDS = 60
CLOCK = """import time
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        now = time.time()
        return await step.do("ä", lambda: now)
"""
EVIL = 'open("{mark}", "w").write("run")\nfrom workers import WorkflowEntrypoint\n'


def check(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`playground check` with these words, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "playground", "check", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_file_without_findings_prints_nothing_and_ends_with_0(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    done = check(tmp_path, "--strict", "hello.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_finding_is_a_line_that_editors_can_follow_and_an_error_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "clock.py").write_text(CLOCK)
    (tmp_path / "broken.py").write_text("def (")
    done = check(tmp_path, "--cloudflare", "clock.py", "broken.py")
    first, only_here, second = done.stdout.splitlines()
    assert only_here.startswith("clock.py:7:22: info only-here-step `step.do` only decorates on Cloudflare")
    assert first.startswith("clock.py:6:15: warning time-outside-step Replay runs this line again")
    assert second.startswith("broken.py:1:5: error syntax ")
    assert (done.returncode, done.stderr) == (1, "")


def test_on_a_terminal_a_finding_has_its_line_a_mark_and_the_fix() -> None:
    found = {"line": 6, "column": 15, "end_line": 6, "end_column": 26, "fix": {"title": "Move it into a step"}}
    assert as_excerpt(CLOCK, found).splitlines() == [
        "     6 |         now = time.time()",
        "         " + " " * 14 + "^" * 11,
        "    fix: Move it into a step",
    ]
    at_the_end = {"line": 9, "column": 1, "end_line": 9, "end_column": 1}
    assert as_excerpt(CLOCK, at_the_end).splitlines() == ["     9 | ", "         ^"]
    assert "\x1b" not in as_excerpt("\x1b[2J = 1", {"line": 1, "column": 1, "end_line": 3, "end_column": 1})


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 1)], ids=["as it is", "strict"])
def test_warnings_count_only_when_it_is_strict(tmp_path: Path, options: tuple[str, ...], status: int) -> None:
    (tmp_path / "clock.py").write_text(CLOCK)
    done = check(tmp_path, *options, "clock.py")
    assert (done.returncode, len(done.stdout.splitlines())) == (status, 1)


def test_json_has_ends_and_fixes_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "clock.py").write_text(CLOCK)
    (tmp_path / "hello.py").write_text(HELLO)
    done = check(tmp_path, "--format", "json", "clock.py", "hello.py", "gone.py")
    clock, hello, gone = json.loads(done.stdout)["files"]
    (found,) = clock["diagnostics"]
    assert {"severity", "code", "message", "line", "column", "end_line", "end_column", "fix"} <= found.keys()
    assert (clock["file"], clock["ok"]) == ("clock.py", True)
    assert hello == {"file": "hello.py", "ok": True, "diagnostics": []}
    assert gone == {"file": "gone.py", "ok": False, "problem": "cannot read gone.py: No such file or directory"}
    assert done.returncode == 2


def test_a_file_that_can_not_be_read_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("def (")
    (tmp_path / "latin.py").write_bytes("# größer".encode("latin-1"))
    (tmp_path / "large.py").write_text("#" * 70_000)
    done = check(tmp_path, "gone.py", "latin.py", "large.py", ".", "hello.py")
    assert done.returncode == 2
    assert done.stdout.startswith("hello.py:1:5: error syntax ")
    assert done.stderr.splitlines() == [
        "playground: cannot read gone.py: No such file or directory",
        "playground: latin.py is not UTF-8 text (byte 4); save it as UTF-8",
        "playground: large.py is larger than 65,536 bytes, the limit of a source; " + MAKE_SHORTER,
        "playground: . is a folder; name its files, for example ./*.py",
    ]


def test_a_source_that_ends_the_parser_is_a_finding_and_nothing_of_it_runs(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL.format(mark=tmp_path / "mark") + "-" * 60_000 + "1\n")
    done = check(tmp_path, "evil.py")
    assert (done.returncode, done.stderr, (tmp_path / "mark").exists()) == (1, "", False)
    assert done.stdout.startswith("evil.py:")


def test_a_class_of_another_name_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "order.py").write_text(HELLO.replace("TenantWorkflow", "Order") + "\nclass Other:\n    pass\n")
    assert check(tmp_path, "order.py").returncode == 0
    assert check(tmp_path, "--class-name", "Order", "order.py").returncode == 0
    done = check(tmp_path, "--class-name", "Othr", "order.py")
    assert (done.returncode, "no-workflow There is no class `Othr`" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "the following arguments are required: FILE; `playground check --help` says how it is used"),
        (("--formt", "x", "a.py"), "unrecognized arguments: --formt"),
        (("--format", "xml", "a.py"), "invalid choice: 'xml'"),
    ],
    ids=["no file", "unknown option", "unknown format"],
)
def test_a_command_line_that_is_wrong_is_refused_in_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = check(tmp_path, *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert says in done.stderr


def test_a_misspelt_variable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    done = check(tmp_path, "hello.py", PLAYGROUND_SOURCE_BYTE="5")
    assert (done.returncode, "did you mean PLAYGROUND_SOURCE_BYTES?" in done.stderr) == (2, True)
