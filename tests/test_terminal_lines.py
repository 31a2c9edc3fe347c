"""What the terminal says: lines and rows of a run, tables, JSON lines, and how what is typed is read."""

import argparse
import io
import json
import os
import re
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from terminal_support import ESCAPES, Commands, short_folder, terminal_environment

from playground import cli
from playground.client import NOTHING
from playground.settings import Settings
from playground.terminal import doctor, narration
from playground.terminal.completion import Words, words
from playground.terminal.inputs import json_input, read_text
from playground.terminal.local import database_place, runtime_folder, socket_path
from playground.terminal.narration import DONE, FAILED, LOG, NOTE, WARNING, Line, Narrator, duration, open_rows, plain
from playground.terminal.outcomes import EXIT_STATUSES, BadCommand
from playground.terminal.parser import SUMMARIES, build_parser
from playground.terminal.places import place_of
from playground.terminal.screen import Screen
from playground.terminal.state import MOST_RUNS, KnownRun, RunFile, state_folder
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

CHARGE = StepKey(ev.DO, "charge card", 1)
NAP = StepKey(ev.SLEEP, "nap", 1)
ASK = StepKey(ev.WAIT, "approval", 2)
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")
LOST = {"name": "WorkerLost", "message": "gone", "line": None}


def told(*events: tuple[Any, ...]) -> tuple[list[Line], Narrator]:
    """The lines of events given as (type, data?, step?), one a second, of execution 1."""
    narrator, lines = Narrator(), list[Line]()
    for seq, (type, data, step) in enumerate(
        ((*it, {}, None)[:3] if len(it) == 1 else (*it, None)[:3] for it in events), 1
    ):
        lines += narrator.lines(Event(seq, seq * 1_000, type, 1, step, data))
    return lines, narrator


def test_a_step_is_one_line_when_it_is_over_with_its_time_and_result() -> None:
    lines, _ = told(
        (ev.WORKFLOW_QUEUED, {"params": None}),
        (ev.STEP_STARTED, {"config": {}, "line": 3}, CHARGE),
        (ev.ATTEMPT_STARTED, {"attempt": 1}, CHARGE),
        (ev.ATTEMPT_ERRORED, {"attempt": 1, "error": LOST, "retry_delay_ms": 10_000}, CHARGE),
        (ev.ATTEMPT_STARTED, {"attempt": 2}, CHARGE),
        (ev.ATTEMPT_COMPLETED, {"attempt": 2}, CHARGE),
        (ev.STEP_COMPLETED, {"output": {"paid": 12}}, CHARGE),
    )
    assert lines == [
        Line(FAILED, "charge card", "attempt 1: WorkerLost: gone; again in 10.0 s"),
        Line(DONE, "charge card", "attempt 2", '{"paid": 12}', 5_000),
    ]


def test_what_goes_on_is_a_row_with_what_it_waits_for() -> None:
    lines, narrator = told(
        (ev.STEP_STARTED, {"config": {}, "line": 3}, CHARGE),
        (ev.ATTEMPT_STARTED, {"attempt": 1}, CHARGE),
        (ev.SLEEP_STARTED, {"until": 70_000, "line": 4}, NAP),
        (ev.WAIT_STARTED, {"until": 3_604_000, "event_type": "approved", "line": 5}, ASK),
    )
    assert lines == []
    assert [(row.label, row.text, row.took_ms) for row in open_rows(narrator.state, now=5_000)] == [
        ("charge card", "runs", 3_000),
        ("nap", "sleeps, 1 min 5 s left", None),
        ("approval-2", "waits for event approved, 59 min 59 s left", None),
    ]


def test_workers_that_come_and_go_are_told_of() -> None:
    lines, _ = told(
        (ev.EXECUTION_STARTED, {"execution": 1, "replayed": 0}),
        (ev.EXECUTION_ENDED, {"reason": ev.KILLED}),
        (ev.EXECUTION_STARTED, {"execution": 2, "replayed": 1}),
        (ev.EXECUTION_ENDED, {"reason": ev.HIBERNATED}),
        (ev.EVENT_RECEIVED, {"type": "approved", "payload": {"by": "ada"}}),
        (ev.WORKFLOW_PAUSED,),
        (ev.REPLAY_DIVERGED, {"steps": [{"name": "a"}]}),
    )
    assert [line.kind for line in lines] == [WARNING, NOTE, NOTE, NOTE, WARNING]
    assert [line.text for line in lines[:3]] == [
        "the worker was killed; what was committed stays",
        "worker 2 goes on, with 1 step from the journal",
        "event approved arrived",
    ]
    assert "left out a" in lines[-1].text


def test_printed_lines_are_joined_cut_and_left_out_when_replayed() -> None:
    def log(text: str, **more: Any) -> tuple[Any, ...]:
        return ev.LOG, {"stream": "stdout", "level": None, "text": text, **more}

    lines, _ = told(
        log("half ", partial=True), log("whole"), log("again", replay=True), log("bad", level="ERROR"), log("x" * 5_000)
    )
    assert lines[:2] == [Line(LOG, "", "half whole"), Line(WARNING, "", "bad")]
    assert len(lines) == 3 and len(lines[2].text) == narration.LOG_CHARACTERS


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\x9b31m", "\x07", "\u202e", "\u200b", "\r", "\x00"])
def test_what_a_terminal_would_obey_is_made_visible(hidden: str) -> None:
    shown = plain(f"a{hidden}b")
    assert all(character.isprintable() for character in shown) and shown.startswith("a\\") and shown.endswith("b")
    lines, _ = told((ev.LOG, {"stream": "stdout", "text": f"a{hidden}b"}))
    assert all(line.text.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (59_900, "59.9 s"), (60_000, "1 min"), (125_000, "2 min 5 s")]
    + [(3_600_000, "1 h"), (11_400_000, "3 h 10 min"), (187_200_000, "2 d 4 h")],
)
def test_durations(ms: int, text: str) -> None:
    assert duration(ms) == text


class Tty(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(line: Line, columns: int = 80, **environment: str) -> str:
    """A line as a terminal of so many columns gets it."""
    out = Tty()
    Screen(out, io.StringIO(), {"TERM": "xterm-256color", "COLUMNS": str(columns), **environment}).lines([line])
    return out.getvalue()


def test_a_line_is_cut_at_the_width_and_coloured_unless_no_color_is_set() -> None:
    line = Line(DONE, "a name " * 30, "attempt 2", '{"x": 1}', 5_000)
    for columns in (40, 80, 120):
        text = shown(line, columns, NO_COLOR="1")
        assert not COLOUR.search(text)
        text = ESCAPES.sub(b"", text.encode()).decode()
        assert text.count("\n") == 1 and len(text.rstrip("\n")) <= columns and "…" in text
    assert "\x1b[32m✓" in shown(line)
    assert not COLOUR.search(shown(Line(FAILED, "a", "b"), NO_COLOR="1")) and "✗ a" in shown(
        Line(FAILED, "a", "b"), NO_COLOR="1"
    )
    assert shown(Line(NOTE, "", "x"), TERM="dumb") == "  · x\n"


def test_whatever_is_printed_as_text_is_made_visible() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, {}, "text")
    evil = "a\x1b[2J\u202e"
    screen.lines([Line(kind, evil, evil, evil) for kind in (DONE, FAILED, NOTE, LOG, WARNING, narration.WAY)])
    screen.print(evil)
    screen.table("row", {"a": "A"}, [{"a": evil}], "")
    screen.value({evil: evil})
    screen.error(evil)
    assert all(it.isprintable() or it == "\n" for it in (out.getvalue() + err.getvalue()).replace("\x1b[0m", ""))
    assert out.getvalue().count("a\\x1b[2J") >= 10


def test_a_command_to_copy_is_never_cut() -> None:
    way = "playground runs send-event " + "x" * 100
    text = shown(Line(narration.WAY, "", way), 40, NO_COLOR="1")
    assert way in text.replace("\n", "")


def test_where_nobody_looks_there_are_json_lines_or_whole_lines() -> None:
    piped, asked = io.StringIO(), io.StringIO()
    for screen in (Screen(piped, io.StringIO(), {}), Screen(asked, io.StringIO(), {}, "text")):
        screen.json("run", run="1", name="ä")
        screen.lines([Line(DONE, "step " * 40, took_ms=1)])
        screen.table("row", {"a": "A", "b": "B"}, [{"a": "x" * 200, "b": None, "_b": "shown"}], "none")
        screen.value({"deep": [1]})
    assert [json.loads(line) for line in piped.getvalue().splitlines()] == [
        {"kind": "run", "run": "1", "name": "ä"},
        {"kind": "row", "a": "x" * 200, "b": None},
    ]
    lines = asked.getvalue().splitlines()
    assert lines[0].startswith("  ✓ step step") and lines[0].endswith("1 ms")
    assert "x" * 200 + "  shown" in lines[2] and '"deep"' in asked.getvalue()


# What is typed.


def test_json_is_sent_as_it_was_typed_and_a_mistake_is_named_with_its_place(tmp_path: Path) -> None:
    assert json_input(None, "--params") is NOTHING
    assert bytes(json_input('{"n": 1.10}', "--params")) == b'{"n": 1.10}'
    typed = '"ä"'.encode().decode("ascii", "surrogateescape")  # as a locale that is not UTF-8 gives it
    assert bytes(json_input(typed, "--params")) == '"ä"'.encode()
    (tmp_path / "p.json").write_text("[1e400]")
    assert isinstance(json_input(f"@{tmp_path}/p.json", "--params"), msgspec.Raw)
    (tmp_path / "bad.json").write_text('{"a":\n  }')
    for given, said in [
        (
            "{a: 1}",
            "--params is not JSON: expecting property name enclosed in double quotes at line 1, column 2; quote it",
        ),
        ("NaN", "--params is not JSON: NaN is no number of JSON"),
        (f"@{tmp_path}/bad.json", "bad.json is not JSON: expecting value at line 2, column 3"),
        (f"@{tmp_path}/none.json", "none.json: No such file"),
        ("[" * 100_000, "is not JSON"),
        ('"\udce4"', "--params is not UTF-8 text"),
    ]:
        with pytest.raises(BadCommand) as refused:
            json_input(given, "--params")
        assert said in str(refused.value)


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# größer".encode("latin-1"))
    for name, said in [("latin.py", "not UTF-8"), (".", "is a folder"), ("gone.py", "No such file"), ("\0", "no file")]:
        with pytest.raises(BadCommand, match=said):
            read_text(str(tmp_path / name) if name != "\0" else name)


def test_a_place_is_named_by_options_and_environment() -> None:
    assert place_of({}, None, None, None).key == database_place("sqlite:///playground.db")
    assert place_of({"PLAYGROUND_SERVER": "http://a:1/"}, None, None, None).key == "http://a:1"
    assert place_of({"PLAYGROUND_SERVER": "http://a:1/"}, None, "acme", None).key == "http://a:1 acme"
    here = place_of({"PLAYGROUND_SERVER": "http://a:1/"}, None, None, "sqlite:////tmp/x.db")
    assert (here.server, here.settings.database, here.words()) == (
        "",
        "sqlite:////tmp/x.db",
        " --database sqlite:////tmp/x.db",
    )
    assert place_of({}, "http://a:1", "acme", None).words() == " --server http://a:1 --tenant acme"
    for given, said in [
        (({}, "a", None, None), "is not the address of a server"),
        (({}, "http://a", None, "sqlite:///x"), "give one of them"),
        (({"PLAYGROUND_TOKEN": "two\nlines"}, None, None, None), "was it copied whole"),
    ]:
        with pytest.raises(BadCommand, match=said):
            place_of(*given)


def test_a_command_line_that_is_wrong_is_one_line_with_where_to_read(tmp_path: Path, capsys: Any) -> None:
    run = Commands(capsys, terminal_environment(tmp_path))
    for given, said in [
        (("run", "--foo"), "--foo is unknown here; `playground run --help`"),
        (("run",), "name one thing to run"),
        (("run", "a.py", "--example", "hello"), "name one thing to run"),
        (("run", "a.py", "--resume", "x"), "takes no file"),
        (("runs",), "the following arguments are required: ACTION; `playground runs --help`"),
        (("runs", "restart", "x", "--count", "0"), "invalid number from 1 on value: '0'"),
        (("runs", "nothing"), "invalid choice: 'nothing'"),
        (("deploy", "acme", "gone.py"), "cannot read gone.py"),
        (("run", "a.py", "--server", "play.example"), "is not the address of a server"),
    ]:
        done = run(*given)
        assert (done.status, done.out) == (2, "") and done.err.startswith("playground: ") and said in done.err, given
        assert done.err.count("\n") == 1


def test_help_has_examples_that_are_commands_and_the_exit_statuses(tmp_path: Path, capsys: Any) -> None:
    import shlex

    run = Commands(capsys, terminal_environment(tmp_path))
    for name in SUMMARIES:
        text = run(name, "--help").out
        assert "examples:" in text
        for line in text.partition("examples:")[2].partition("exit status:")[0].splitlines():
            words = shlex.split(line.partition("|")[0].partition(" > ")[0])
            words = [word for word in words if not word.startswith("PLAYGROUND_")]
            if words:
                assert words[0] == "playground"
                build_parser().parse_args(words[1:])
    assert all(text in run("run", "--help").out for text in EXIT_STATUSES.values())
    assert all(f"`playground {name}" in cli._EPILOG or f"`{name}`" in cli._EPILOG for name in SUMMARIES)


# Completion.


def table() -> dict[str, Words]:
    return words(*cli._parsers({}))


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def test_every_command_and_option_is_completed() -> None:
    found = table()
    assert {*SUMMARIES, "serve", "check", "copy", "tenant-key", "secrets-key", "audit", "backup"} == {
        *found[""].actions
    }
    assert {"--port", "--database"} <= found["serve"].options.keys()
    assert {"list", "send-event", "kill-worker"} <= found["runs"].actions.keys()
    assert found["runs kill-worker"].options["--when"] == ("now", "during-step", "before-commit")
    assert (found["run"].options["--follow"], found["run"].options["--params"]) == ((), None)
    assert {"bash", "zsh", "fish"} <= found["completion"].actions.keys()
    assert found["run"].takes_files and not found["runs list"].takes_files


@pytest.mark.quick
def test_bash_completes_actions_options_choices_and_files(tmp_path: Path, capsys: Any) -> None:
    script = Commands(capsys, {})("completion", "bash").out
    (tmp_path / "order.py").touch()
    RunFile(tmp_path / "playground").add(run_of("1f0c-a"))

    def completed(*typed: str) -> set[str]:
        given = " ".join(f"'{word}'" for word in typed)
        code = f"{script}\nCOMP_WORDS=({given}); COMP_CWORD={len(typed) - 1}; _playground\n"
        code += "printf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(
            ["bash", "--norc", "-c", code],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return set(done.stdout.split())

    assert completed("playground", "ru") == {"run", "runs"}
    assert completed("playground", "runs", "--server", "http://a", "kill") == {"kill-worker"}
    assert completed("playground", "runs", "kill-worker", "x", "--when", "") == {"now", "during-step", "before-commit"}
    assert completed("playground", "run", "--fol") == {"--follow"}
    assert completed("playground", "run", "ord") == {"order.py"}
    assert completed("playground", "--por") == {"--port"}
    assert (
        completed("playground", "runs", "show", "1f") == completed("playground", "run", "--resume", "1") == {"1f0c-a"}
    )


def test_the_scripts_of_other_shells_name_every_option(capsys: Any) -> None:
    for shell in ("zsh", "fish"):
        script = Commands(capsys, {})("completion", shell).out
        for row in table().values():
            assert all(option.removeprefix("--") in script for option in row.options)
        assert "kill-worker" in script


# The file of runs.


def run_of(id: str, where: str = "http://a") -> KnownRun:
    return KnownRun(where, id, f"token-{id}", "order.py", 1)


def test_runs_are_remembered_with_their_tokens_for_their_owner_only(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "state" / "playground")
    assert file.all() == []
    file.add(run_of("abc"))
    file.add(run_of("abd"))
    file.add(run_of("abc", "http://b"))
    path = tmp_path / "state" / "playground" / "runs.jsonl"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert [run.id for run in file.matching("http://a", "ab")] == ["abc", "abd"]
    assert file.find("http://b", "abc") == run_of("abc", "http://b") and file.find("http://b", "abd") is None
    file.forget("http://a", "abc")
    assert [run.id for run in file.all()] == ["abd", "abc"]
    path.chmod(0o640)
    with pytest.raises(BadCommand, match="chmod 600"):
        file.all()


def test_the_oldest_runs_are_forgotten_and_lines_of_a_newer_program_are_passed_over(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    file.add(run_of("0"))
    path = tmp_path / "runs.jsonl"
    many = "".join(path.read_text().replace('"0"', f'"{number}"') for number in range(MOST_RUNS))
    path.write_text("not json\n[]\n" + many)
    file.add(run_of("new"))
    assert len(file.all()) == MOST_RUNS and (file.all()[0].id, file.all()[-1].id) == ("1", "new")


def test_commands_at_the_same_time_lose_no_run(tmp_path: Path) -> None:
    threads = [threading.Thread(target=RunFile(tmp_path).add, args=(run_of(str(number)),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(run.id) for run in RunFile(tmp_path).all()) == list(range(20))


def test_the_folders_of_state_and_sockets() -> None:
    assert state_folder({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/playground")
    assert state_folder({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == Path("/h/.local/state/playground")
    with short_folder() as short:
        here = {"XDG_RUNTIME_DIR": str(short)}
        folder = runtime_folder(here)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        one, other = (socket_path(here, f"sqlite:////{name}.db") for name in "ab")
        assert one != other and one.parent == folder
        folder.chmod(0o755)
        with pytest.raises(BadCommand, match="not yours alone"):
            runtime_folder(here)
        long = short / ("x" * 100)
        long.mkdir()
        with pytest.raises(BadCommand, match="too long a path for a socket"):
            socket_path({"XDG_RUNTIME_DIR": str(long)}, "sqlite:///x.db")


# What the doctor says.


def test_the_doctor_reads_the_database_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from playground.store import open_store

    url = f"sqlite:///{tmp_path}/x.db"
    found = doctor.database(Settings(database=url))
    assert (found.state, "made at the first start" in found.text) == (doctor.GOOD, True)
    assert list(tmp_path.iterdir()) == []
    store = open_store(url)
    assert f"process {os.getpid()} has it open" in doctor.database(Settings(database=url)).text
    store.close_now()  # type: ignore[attr-defined]
    assert "has it open" not in doctor.database(Settings(database=url)).text
    (tmp_path / "text.db").write_text("this is not a database, but it is long enough to be looked at as one\n" * 50)
    for name, said in [
        (f"sqlite:///{tmp_path}/text.db", "cannot be read"),
        ("sqlite:////nowhere/at/x.db", "cannot write"),
        ("mysql://x", "cannot be opened"),
    ]:
        bad = doctor.database(Settings(database=name))
        assert bad.state == doctor.BAD and said in bad.text


def test_the_doctor_judges_the_disk_by_what_a_commit_takes(tmp_path: Path) -> None:
    settings = Settings(database=f"sqlite:///{tmp_path}/x.db", free_disk_bytes=0)

    def ticking(step: float) -> Any:
        at = [0.0]

        def now() -> float:
            at[0] += step
            return at[0]

        return now

    states = [doctor.disk(tmp_path, settings, ticking(step)).state for step in (0.000_001, 0.002, 0.05)]
    assert states == [doctor.LOOK, doctor.GOOD, doctor.LOOK]
    full = doctor.disk(tmp_path, Settings(database=settings.database, free_disk_bytes=2**60), ticking(0.002))
    assert full.state == doctor.BAD and "make room" in full.advice
    assert doctor.disk(tmp_path / "gone", settings).state == doctor.BAD
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_judges_clock_and_limits() -> None:
    now = 1_796_000_000_000
    assert doctor.clock(lambda: 0, lambda: now).state == doctor.GOOD
    assert doctor.clock(lambda: doctor.TIME_ERROR, lambda: now).state == doctor.LOOK
    assert doctor.clock(lambda: 0, lambda: 1_000).state == doctor.BAD
    settings = Settings(workers=4)
    good = doctor.Limits(2.0, 16 * 2**30, None, 4_096)
    assert {it.state for it in doctor.machine(settings, good)} == {doctor.GOOD}
    small = doctor.Limits(1.0, 2**28, 5, 100)
    assert [it.state for it in doctor.machine(settings, small)] == [doctor.GOOD, doctor.LOOK, doctor.BAD, doctor.BAD]
    assert doctor.Limits.read().cores > 0


def test_the_doctor_reads_what_a_container_may_use(tmp_path: Path) -> None:
    for name, text in (("cpu.max", "50000 100000"), ("memory.max", "1000000"), ("pids.max", "77")):
        (tmp_path / name).write_text(text)
    found = doctor.Limits.read(tmp_path)
    assert (
        (found.cores, found.memory_bytes) == (0.5, 1_000_000) and found.processes is not None and found.processes <= 77
    )
