"""A run as a file: what is in it, who may have it, and that a file of anybody's is read or refused with the line."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dispatch_support import workflow
from http_support import APPROVAL, HELLO, MakeSite, Site, code_of
from tenants_support import ECHO, WAITS, Tenant
from terminal_support import Commands, terminal_environment

from playground.runfiles import format
from playground.runfiles.format import BadRunFile, Code, Head, Writer, read_run_file

SENSITIVE = HELLO.replace('"greet")', '"greet", config={"sensitive": "output"})').replace('print("hello")', "pass")


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(operator_token="of-the-operator")


@pytest.fixture
def run(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    server = f"http://127.0.0.1:{site.port}"
    return Commands(capsys, terminal_environment(tmp_path, PLAYGROUND_SERVER=server))


def exported(site: Site, path: str, **headers: str) -> list[dict[str, Any]]:
    """The lines of a run's file, whose last one is right."""
    answer = site.client.get(f"{path}/export", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    before, _, last = answer.content.removesuffix(b"\n").rpartition(b"\n")
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert lines[-1] == {
        "end": True,
        "events": len(lines) - 2,
        "sha256": hashlib.sha256(before + b"\n").hexdigest(),
    }, last
    return lines


def test_a_file_has_code_params_and_every_event_and_no_token(site: Site) -> None:
    made = site.create(params={"name": "Ada"})
    site.finish(made)
    head, *events, _ = exported(site, f"/api{made['url']}")
    assert (head["format"], head["version"], head["product"]) == ("playground-run", 1, "1.2.3")
    assert {name: head[name] for name in ("id", "status", "params", "class_name", "last_seq")} == {
        "id": made["id"],
        "status": "complete",
        "params": {"name": "Ada"},
        "class_name": "TenantWorkflow",
        "last_seq": len(events),
    }
    assert head["code"] == {"name": "workflow.py", "version": made["snippet"], "source": HELLO}
    assert events == site.journal(made)
    assert made["control_token"] not in json.dumps([head, *events])


def test_a_run_that_goes_on_is_exported_as_it_stands_and_redacted_values_stay_redacted(site: Site) -> None:
    waiting = site.create(APPROVAL)
    site.until(waiting, "workflow_waiting")
    head, *_ = exported(site, f"/api{waiting['url']}")
    assert head["status"] in ("running", "waiting")
    hidden = site.create(SENSITIVE, params={"name": "xyzzy"})
    site.finish(hidden)
    step = next(it for it in exported(site, f"/api{hidden['url']}") if it.get("type") == "step_completed")
    assert step["data"]["output"] == "[REDACTED]"


def test_a_tenants_run_is_exported_with_its_key_alone(site: Site) -> None:
    tenant = Tenant(site, "acme")
    assert tenant.ask("PUT", "/secrets/TOKEN", json={"value": "s3cr3t-of-acme"}).status_code == 204
    tenant.deploy(ECHO)
    made = tenant.create(params=[1])
    tenant.finish(made["id"])
    path = f"/api/tenants/acme/instances/{made['id']}"
    assert site.client.get(f"{path}/export").status_code == 401
    lines = exported(site, path, Authorization=f"Bearer {tenant.key}")
    assert lines[0]["code"]["source"] == ECHO and "s3cr3t-of-acme" not in json.dumps(lines)
    assert tenant.key not in json.dumps(lines)


def test_a_terminal_exports_a_run_and_shows_the_file_as_it_shows_the_run(
    site: Site, run: Commands, tmp_path: Path
) -> None:
    made = site.create(params={"name": "Ada"})
    site.finish(made)
    done = run("runs", "export", made["id"], "--format", "text")
    file = tmp_path / "run.jsonl"
    file.write_text(done.out)
    assert done.status == 0
    of_file = run("runs", "show", str(file), "--format", "text").out.splitlines()
    of_run = run("runs", "show", made["id"], "--format", "text").out.splitlines()
    assert of_file.pop(1).startswith(f"  file       {file}, written by playground 1.2.3, ")
    assert of_file == of_run
    (as_json,) = run("runs", "show", str(file)).of("run")
    assert (as_json["run"], as_json["output"]) == (made["id"], {"greeting": "Hello, Ada!"})
    file.write_text(done.out.replace("Hello", "Hullo"))
    refused = run("runs", "show", str(file))
    assert (refused.status, refused.out) == (2, "") and "was changed after it was written" in refused.err
    assert run("runs", "export", "nowhere").status == 2


# As a test.


def test_a_test_is_written_over_http_and_by_a_terminal_and_pytest_runs_it(
    site: Site, run: Commands, tmp_path: Path
) -> None:
    made = site.create(params={"name": "Ada"})
    site.finish(made)
    answer = site.client.get(f"/api{made['url']}/test.py")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="test_')
    assert 'recorded.ran("greet", "Hello, Ada!")' in answer.text
    file, test = tmp_path / "run.jsonl", tmp_path / "test_greeting.py"
    file.write_text(run("runs", "export", made["id"]).out)
    test.write_text(run("runs", "export", made["id"], "--as-test").out)
    of_file = run("runs", "export", str(file), "--as-test")
    assert _without_date(of_file.out) == _without_date(test.read_text()) == _without_date(answer.text)
    assert "is a file already" in run("runs", "export", str(file)).err
    (tmp_path / "test_changed.py").write_text(test.read_text().replace("Hello,", "Hullo,", 1))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c/dev/null", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "step 1 `greet` returned 'Hello, Ada!', returns 'Hullo, Ada!'" in done.stdout


def _without_date(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("Written by"))


def test_a_run_that_cannot_be_a_test_says_why(site: Site, run: Commands, tmp_path: Path) -> None:
    tenant = Tenant(site, "beta")
    tenant.deploy(WAITS)
    made = tenant.create()
    path = f"/api/tenants/beta/instances/{made['id']}"
    tenant.until(made["id"], "waiting")
    headers = {"Authorization": f"Bearer {tenant.key}"}
    assert site.client.get(f"{path}/test.py").status_code == 401
    assert (
        'recorded.waited("go", event="go", status="waiting")'
        in site.client.get(f"{path}/test.py", headers=headers).text
    )
    assert tenant.ask("POST", f"/instances/{made['id']}/events/go", json=1).status_code == 202
    tenant.finish(made["id"])
    step = {"from_step": {"kind": "wait", "name": "go", "count": 1}}
    assert tenant.ask("POST", f"/instances/{made['id']}/restart", json=step).status_code == 202
    answer = site.client.get(f"{path}/test.py", headers=headers)
    assert code_of(answer) == (409, "instance.cannot_be_a_test")
    assert "Fork it there" in answer.json()["error"]["message"]


# Reading what anybody wrote.

HEAD = Head("1.2.3", 0, "r1", "A run", "", "TenantWorkflow", "running", 2, None, Code("workflow.py", "v", "x = 1"))
QUEUED = {"seq": 1, "at": 5, "type": "workflow_queued", "execution": None, "data": {"params": None, "trigger": "api"}}
STARTED = {"seq": 2, "at": 6, "type": "step_started", "execution": 1, "data": {"config": {}, "line": 1}}


def file_of(*events: Any, change: Callable[[bytes], bytes] = lambda text: text, end: bool = True) -> bytes:
    """A file with these events, `change`d before its end is written over."""
    writer = Writer()
    text = change(
        writer.head(HEAD) + writer.events(it if isinstance(it, bytes) else json.dumps(it).encode() for it in events)
    )
    last = {"end": True, "events": len(events), "sha256": hashlib.sha256(text).hexdigest()}
    return text + (json.dumps(last).encode() + b"\n" if end else b"")


def step(*names: str, kind: str = "do") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        found = {"kind": kind, "name": name, "count": 1, **({"parent": found} if found else {})}
    return found


def test_a_file_is_read_as_it_was_written() -> None:
    found = read_run_file(io.BytesIO(file_of(QUEUED, {**STARTED, "step": step("a", "b")})))
    assert found.head == HEAD
    assert [(it.seq, it.type, it.step and str(it.step)) for it in found.events] == [
        (1, "workflow_queued", None),
        (2, "step_started", "a-1/b-1"),
    ]


def test_every_recorded_journal_is_read_as_it_was_written() -> None:
    for path in (Path(__file__).parent / "journals").glob("*.json"):
        events = json.loads(path.read_text())
        found = read_run_file(io.BytesIO(file_of(*events)))
        assert [it.as_json() for it in found.events] == events, path.stem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "it is empty"),
        (b"\x00\xff" * 100, "it is no run's file"),
        (b'{"format": "other", "version": 1}\n', "it is no run's file"),
        (file_of(QUEUED, change=lambda it: it.replace(b'"version":1', b'"version":2', 1)), "is of version 2 of"),
        (file_of(QUEUED, change=lambda it: it.replace(b'"running"', b'"flying"')), "line 1: there is no status"),
        (file_of(QUEUED, end=False), "it is cut off after line 2"),
        (file_of(QUEUED)[:-20], "it is cut off in line 3; export"),
        (file_of(QUEUED) + b"{}\n", "line 4: more follows"),
        (file_of(QUEUED).replace(b'"at": 5', b'"at": 6'), "line 3: the file was changed"),
        (file_of(QUEUED, {**QUEUED, "seq": 3}), "line 3: it is event 3, and event 2 comes next"),
        (file_of(STARTED | {"seq": 1}), "line 2: a journal begins with workflow_queued"),
        (file_of(QUEUED, {**QUEUED, "seq": 2, "type": "ev\x1bil"}), "line 3: there is no event 'ev\\x1bil'"),
        (file_of(QUEUED, STARTED | {"step": step(*"abcdefghijkl")}), "line 3: there is no such step"),
        (file_of(QUEUED, STARTED | {"step": step("a", kind="__proto__")}), "line 3: there is no such step"),
        (file_of(QUEUED, STARTED | {"at": 10**18}), "line 3: it is not an event"),
        (file_of(QUEUED, b"[" * 100_000), "line 3: it is nested more than 200 levels deep"),
        (file_of(QUEUED, b"{" + b" " * format.LINE_BYTES), "line 3: the line has more than the 16,777,216 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: bytes, says: str) -> None:
    with pytest.raises(BadRunFile, match=r"^") as refused:
        read_run_file(io.BytesIO(text))
    assert says in str(refused.value)


def test_a_file_is_read_up_to_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    text = file_of(QUEUED, {**STARTED, "step": step("a")})
    monkeypatch.setattr(format, "FILE_BYTES", len(text))
    monkeypatch.setattr(format, "EVENTS", 2)
    assert len(read_run_file(io.BytesIO(text)).events) == 2
    monkeypatch.setattr(format, "EVENTS", 1)
    with pytest.raises(BadRunFile, match="more than 1 events"):
        read_run_file(io.BytesIO(text))
    monkeypatch.setattr(format, "EVENTS", 2)
    monkeypatch.setattr(format, "FILE_BYTES", len(text) - 1)
    with pytest.raises(BadRunFile, match=f"line 4: the file has more than the {len(text) - 1} bytes"):
        read_run_file(io.BytesIO(text))


def test_a_journal_that_makes_no_sense_is_refused_by_a_terminal(run: Commands, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(file_of(QUEUED, {**STARTED, "step": step("a"), "data": {"config": 7, "line": "<b>"}}))
    refused = run("runs", "show", str(file), "--format", "text")
    assert (refused.status, refused.err.count("\n")) == (2, 1) and "makes no sense" in refused.err


RESULTS = workflow("""
first = await step.do("first", lambda: print("first ran") or 1)
await step.sleep("nap", "1 hour")
try:
    await step.do("fails", lambda: 1 / 0, config={"retries": {"limit": 0, "delay": 0}})
except Exception as error:
    failed = [type(error).__name__, str(error)]
event = await step.wait_for_event("asked", "answer")
late = "no"
try:
    await step.wait_for_event("late", "never", timeout="1 second")
except Exception as error:
    late = type(error).__name__
return [first, failed, event["type"], event["payload"], late, await step.do("last", lambda: 2)]
""")
GIVEN: list[dict[str, Any]] = [
    {"step": {"name": "first"}, "output": {"$bytes": "AAE="}, "line": 3},
    {"step": {"kind": "sleep", "name": "nap"}},
    {"step": {"name": "fails"}, "error": {"name": "ZeroDivisionError", "message": "division by zero"}},
    {"step": {"kind": "wait", "name": "asked"}, "type": "answer", "output": {"yes": True}, "timestamp": 1_000},
    {"step": {"kind": "wait", "name": "late"}, "type": "never", "error": {}},
]


def test_a_run_begins_with_the_results_of_another_and_runs_only_what_follows(site: Site) -> None:
    made = site.create(RESULTS, results=GIVEN)
    output = site.finish(made)["output"]
    assert output == [
        *({"$bytes": "AAE="}, ["ZeroDivisionError", "division by zero"], "answer", {"yes": True}),
        *("WorkflowTimeoutError", 2),
    ]
    journal = site.journal(made)
    assert [event["step"]["name"] for event in journal if event["type"] == "step_started"] == ["last"]
    assert sum(event["type"] == "step_copied" for event in journal) == len(GIVEN)


@pytest.mark.parametrize(
    "result, says",
    [
        ({"step": {"name": "a", "kind": "child"}, "output": 1}, "can't begin a run"),
        ({"step": {"name": "a", "parent": {"name": "b"}}, "output": 1}, "can't begin a run"),
        ({"step": {"name": "a\n"}, "output": 1}, "can't begin a run"),
        ({"step": {"name": "a"}}, "neither an output nor an error"),
        ({"step": {"name": "a", "kind": "wait"}, "output": 1}, "`type` of the wait"),
        ({"step": {"name": "a", "kind": "sleep"}, "error": {}}, "which cannot fail"),
        ({"step": {"name": "a"}, "error": {"name": "a b"}}, "that of a class"),
        ({"step": {"name": "a"}, "error": {"message": "x" * 10_001}}, "longer than 10,000"),
        ({"step": {"name": "a"}, "output": {"$bytes": 1}}, "not serialisable"),
        ({"step": {"name": "a"}, "output": "x" * 1_048_577}, "1,048,576"),
    ],
)
def test_a_result_that_no_run_can_begin_with_is_refused(site: Site, result: dict[str, Any], says: str) -> None:
    answer = site.client.post("/api/instances", json={"source": RESULTS, "results": [result]})
    assert 400 <= answer.status_code < 500 and says in answer.text, answer.text


def test_a_step_that_is_there_twice_is_refused(site: Site) -> None:
    body = {"source": RESULTS, "results": [GIVEN[0], GIVEN[0]]}
    assert "is there twice" in site.client.post("/api/instances", json=body).text
