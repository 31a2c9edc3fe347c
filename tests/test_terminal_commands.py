"""The commands of the terminal against a real server: what they do, print and end with, and what refusals say."""

import json
from pathlib import Path
from typing import Any

import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site
from server_support import free_port
from tenants_support import ECHO, Tenant
from terminal_support import Commands, Done, short_folder, terminal_environment

from playground.terminal.outcomes import DIFFERS, FAILED, LOST, OK, TERMINATED

FAILS = HELLO.replace('print("hello")', 'raise NonRetryableError("no \\x1b[2J greeting")').replace(
    "import WorkflowEntrypoint", "import NonRetryableError, WorkflowEntrypoint"
)
WAITS_LONG = APPROVAL.replace("approval = await", 'await step.sleep("nap", "1 hour")\n        approval = await')
LONG = HELLO.replace('"greet"', f'"{"a long name " * 12}"')


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(operator_token="of-the-operator")


@pytest.fixture
def run(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    """Commands that go to the site."""
    server = f"http://127.0.0.1:{site.port}"
    return Commands(capsys, terminal_environment(tmp_path, PLAYGROUND_SERVER=server))


def source(folder: Path, text: str, name: str = "flow.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def refused(done: Done) -> str:
    """The one line that says why nothing was done."""
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1, (done.status, done.out, done.err)
    return done.err.removeprefix("playground: ")


@pytest.mark.parametrize(
    ("text", "status", "ends"),
    [(HELLO, OK, "complete"), (FAILS, FAILED, "errored")],
    ids=["complete", "errored"],
)
def test_a_run_is_followed_to_its_end_which_is_the_exit_status(
    run: Commands, tmp_path: Path, text: str, status: int, ends: str
) -> None:
    done = run("run", source(tmp_path, text), "--params", '{"name": "Ada"}', "--follow")
    (start,), (end,) = done.of("run"), done.of("end")
    assert (done.status, end["status"], end["run"], done.err) == (status, ends, start["run"], "")
    assert [event["seq"] for event in done.of("event")] == list(range(1, len(done.of("event")) + 1))
    assert "token" not in done.out
    shown = run("runs", "show", start["run"][:6], "--format", "text").out
    assert f"run {start['run']}  {ends}" in shown and "\x1b[2J" not in shown
    if status == FAILED:
        assert "error" in shown and "\\x1b[2J greeting" in shown
    else:
        assert "✓ greet" in shown and '"greeting": "Hello, Ada!"' in shown
    assert run("runs", "logs", start["run"]).of("event") == done.of("event")
    later = run("runs", "logs", start["run"], "--follow", "--format", "text")
    assert later.status == status and f"{ends} in " in later.out


def test_a_run_stands_for_the_next_firing_of_a_schedule(run: Commands) -> None:
    words = ("run", "--example", "on-a-schedule", "--follow")
    fired = run(*words, "--schedule", "0 18 * * FRI")
    assert (fired.status, fired.of("end")[0]["output"]["fired"]) == (OK, "Friday 18:00")
    assert "(schedule.invalid)" in refused(run(*words, "--schedule", "every day"))
    tenant = run("run", "--workflow", "echo", "--schedule", "0 18 * * FRI", "--tenant", "acme", PLAYGROUND_TOKEN="pk_x")
    assert "`playground schedules put`" in refused(tenant)
    assert "no schedule" in refused(run("run", "--resume", "r", "--schedule", "0 18 * * FRI"))


def test_runs_are_listed_controlled_and_deleted(run: Commands, tmp_path: Path) -> None:
    empty = run("runs", "list", "--format", "text").out
    assert "No run was started from here" in empty and "`playground run FILE` starts one" in empty
    (start,) = run("run", source(tmp_path, WAITS_LONG), "--tag", "order-7", "--tag=eu").of("run")
    id = start["run"]
    assert run("runs", "skip-sleeps", id).of("accepted")[0]["run"] == id
    assert [row["name"] for row in run("runs", "list").of("run")] == [str(tmp_path / "flow.py")]
    assert run("runs", "list", "--status", "errored").out == ""
    assert "No run fits." in run("runs", "list", "--status", "errored", "--format", "text").out
    assert [row["tags"] for row in run("runs", "list", "--tag", "eu", "--tag", "order-7").of("run")] == [
        ["order-7", "eu"]
    ]
    assert "name a --tenant" in refused(run("runs", "list", "--error", "ValueError"))
    assert run("runs", "pause", id).status == OK
    assert "is " in run("runs", "resume", id, "--format", "text").out
    sent = run("runs", "send-event", id, "approved", '{"by": "ada"}')
    assert sent.of("accepted")[0]["run"] == id
    assert run("runs", "logs", "--follow", id).of("end")[0]["output"] == {"by": "ada"}
    assert "runs send-event" not in run("runs", "logs", "--follow", id, "--format", "text").out
    assert "in_finite_state" in refused(run("runs", "send-event", id, "approved"))
    fork = run("runs", "fork", id, "--from", "ask", "--output", '"edited"').of("run")[0]
    assert fork["fork_of"] == id and len(run("runs", "list").of("run")) == 2
    assert run("runs", "terminate", fork["run"]).status == OK
    assert run("runs", "logs", "--follow", fork["run"]).status == TERMINATED
    assert run("runs", "restart", fork["run"], "--from", "nap", "--kind", "sleep").status == OK
    assert run("runs", "wake", fork["run"][:8]).status in (OK, 2)
    assert run("runs", "delete", fork["run"]).of("deleted") == [{"kind": "deleted", "run": fork["run"]}]
    assert [row["run"] for row in run("runs", "list").of("run")] == [id]
    assert "no run" in refused(run("runs", "logs", "--follow", fork["run"])).lower()
    assert "`playground runs list`" in refused(run("runs", "show", fork["run"]))


def test_names_that_are_long_are_whole_in_json_and_in_a_pipe(run: Commands, tmp_path: Path) -> None:
    done = run("run", source(tmp_path, LONG, "a" * 120 + ".py"), "--params", "{}", "--follow", "--format", "text")
    assert done.status == OK and ("a long name " * 12).strip() in done.out and "a" * 120 in done.out
    assert run("runs", "list").of("run")[0]["name"].endswith("a" * 120 + ".py")


def test_a_source_that_is_refused_names_line_and_column(run: Commands, tmp_path: Path) -> None:
    file = source(tmp_path, "x = 1\ndef (")
    done = run("run", file, "--format", "text")
    assert done.status == 2 and f"{file}:2:5: syntax" in done.out
    assert "flow.py is refused. Line 2, column 5" in done.err and "`playground check" in done.err
    assert run("run", file).of("refused")[0]["diagnostics"][0]["line"] == 2
    assert run("runs", "list").out == ""


def test_what_the_server_refuses_is_said_with_its_code(run: Commands, tmp_path: Path) -> None:
    (start,) = run("run", source(tmp_path, APPROVAL)).of("run")
    id = start["run"]
    assert "It was taken from PLAYGROUND_TOKEN. (token.wrong)" in refused(
        run("runs", "pause", id, PLAYGROUND_TOKEN="wrong")
    )
    strange = terminal_environment(tmp_path / "elsewhere", PLAYGROUND_SERVER=run.environment["PLAYGROUND_SERVER"])
    elsewhere = Commands(run._capsys, strange)
    assert "(token.missing)" in refused(elsewhere("runs", "pause", id))
    assert elsewhere("runs", "show", id).status == OK  # the link is enough to look
    assert "There is no example" in refused(run("run", "--example", "none-such"))
    assert "(instance.already_exists)" in refused(run("run", source(tmp_path, APPROVAL), "--id", id))
    (known,) = json.loads("[" + (tmp_path / "state" / "playground" / "runs.jsonl").read_text().strip() + "]")
    token = known["token"]
    assert elsewhere("runs", "terminate", id, PLAYGROUND_TOKEN=token).status == OK


def test_a_server_that_is_not_there_or_is_none(run: Commands, tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    for words in (("run", source(tmp_path, HELLO)), ("runs", "list"), ("deploy", "acme", source(tmp_path, HELLO))):
        done = run(*words, "--server", gone, PLAYGROUND_TOKEN="pk_x")
        if words[0] == "runs":  # there is nothing to ask about
            assert done.status == OK
        else:
            assert f"{gone} can't be reached" in refused(done) and "is it started" in done.err


def test_a_server_that_stays_away_ends_the_following_with_the_way_back(
    make_shared_site: MakeSite, run: Commands, tmp_path: Path
) -> None:
    site = make_shared_site()
    there = ("--server", f"http://127.0.0.1:{site.port}")
    (start,) = run("run", source(tmp_path, APPROVAL), *there).of("run")
    site.stop()
    try:
        done = run("runs", "logs", "--follow", start["run"], *there, "--patience", "0.3")
    finally:
        site.start()
    assert (done.status, done.out) == (LOST, "")
    assert f"Follow it again with: playground runs logs --follow {start['run'][:8]} --server {there[1]}" in done.err


def test_a_reply_is_printed(run: Commands, tmp_path: Path) -> None:
    replies = APPROVAL.replace('"1 hour")', '"1 hour")\n        await approval.reply(approval["payload"] * 2)').replace(
        'return approval["payload"]', "return 1"
    )
    (start,) = run("run", source(tmp_path, replies)).of("run")
    done = run("runs", "send-event", start["run"], "approved", "21", "--reply")
    assert (done.status, done.of("reply")) == (OK, [{"kind": "reply", "run": start["run"], "reply": 42}])


def test_a_chaos_run_is_a_table_of_what_differs(run: Commands, tmp_path: Path) -> None:
    (start,) = run("run", source(tmp_path, HELLO), "--params", "{}", "--follow").of("run")
    done = run("runs", "chaos", start["run"])
    assert done.status == OK
    assert done.of("summary")[0]["same"] == len(done.of("rerun")) > 0
    assert {row["killed"] for row in done.of("rerun")} == {"greet", "the end"}


def test_a_tenant_deploys_and_runs_from_the_terminal(site: Site, run: Commands, tmp_path: Path) -> None:
    operator = {"PLAYGROUND_TOKEN": "of-the-operator"}
    (made,) = run("tenants", "make-key", "acme", "--label", "laptop", **operator).of("key")
    assert "acme" in run("tenants", "list", "--format", "text", **operator).out
    as_acme = {"PLAYGROUND_TOKEN": made["key"], "PLAYGROUND_TENANT": "acme"}
    file = source(tmp_path, ECHO)
    assert "Nothing is deployed" in run("tenants", "show", "--format", "text", **as_acme).out
    assert "version 1" in run("deploy", "acme", file, "--workflow", "echo", "--format", "text", **as_acme).out
    assert "no change" in run("deploy", "acme", file, "--workflow", "echo", "--format", "text", **as_acme).out
    bad = run("deploy", "acme", source(tmp_path, "def (", "bad.py"), **as_acme)
    assert bad.status == 2 and "bad.py is refused" in bad.err
    done = run("run", "--workflow", "echo", "--params", '{"n": 1}', "--follow", **as_acme)
    assert done.of("end")[0]["output"] == {"n": 1}
    id = done.of("run")[0]["run"]
    assert [row["run"] for row in run("runs", "list", **as_acme).of("run")] == [id]
    assert run("runs", "show", id, **as_acme).of("run")[0]["status"] == "complete"
    assert run("runs", "fork", id, **as_acme).of("run")[0]["fork_of"] == id

    many = ("runs", "bulk", "delete", "--workflow", "echo", "--since", "1 hour")
    dry = run(*many, "--format", "text", **as_acme)
    assert "delete 2 runs?" in dry.out and id in dry.out and "--yes" in dry.out
    done = run(*many, "--yes", **as_acme)
    assert done.status == OK and [it["done"] for it in done.of("bulk")] == [0, 2]
    assert (
        "done: 2 done, 0 were so already"
        in run("runs", "bulk", "stop", done.of("bulk")[0]["id"], "--format", "text", **as_acme).out
    )
    assert run("runs", "list", "--error", "ValueError", **as_acme).out == ""
    assert "name a filter" in refused(run("runs", "bulk", "pause", **as_acme))
    assert "a tenant's: name it" in refused(run("runs", "bulk", "pause", "--all"))
    assert run("run", "--workflow", "echo", "--follow", **as_acme).status == OK
    assert run("run", "--workflow", "echo", "--follow", **as_acme).status == OK

    words = ("schedules", "put", "nightly", "0 3 * * *", "--workflow", "echo", "--params", '{"n": 2}')
    assert len(run(*words, **as_acme).of("schedule")[0]["next"]) == 5
    assert "nightly" in run("schedules", "list", "--format", "text", **as_acme).out
    assert "nightly: 0 3 * * * (UTC)" in run("schedules", "show", "nightly", "--format", "text", **as_acme).out
    assert run("schedules", "pause", "nightly", **as_acme).of("schedule")[0]["paused"]
    assert run("schedules", "run", "nightly", **as_acme).of("run")
    assert run("schedules", "delete", "nightly", **as_acme).status == OK
    assert "There is no schedule" in run("schedules", "list", "--format", "text", **as_acme).out
    assert "(schedule.invalid)" in refused(run("schedules", "put", "x", "every day", "--workflow", "echo", **as_acme))

    assert run("queues", "put", "orders", "--consumer", "echo", "--max-retries", "1", **as_acme).status == OK
    assert run("queues", "send", "orders", '{"n": 3}', "--delay", "3600", **as_acme).of("message")
    assert [row["waiting"] for row in run("queues", "list", **as_acme).of("queue")] == [1]
    assert "No message of queue orders is dead" in run("queues", "dead", "orders", "--format", "text", **as_acme).out
    assert "(queue.not_found)" in refused(run("queues", "delete", "none", **as_acme))
    assert run("queues", "delete", "orders", **as_acme).status == OK

    assert run("tenants", "delete", "acme", "--end", **operator).of("deleted")[0]["instances"] >= 3
    assert "make-key" in run("tenants", "list", "--format", "text", **operator).out
    assert "set PLAYGROUND_TOKEN to the operator's token" in refused(run("tenants", "list"))
    assert "set PLAYGROUND_TOKEN to a key" in refused(run("queues", "list", "--tenant", "acme"))
    assert "name the tenant with --tenant" in refused(run("queues", "list"))
    assert "(operator.token_wrong)" in refused(run("tenants", "list", PLAYGROUND_TOKEN="x"))
    assert Tenant(site, "other").key not in (tmp_path / "state" / "playground" / "runs.jsonl").read_text()


def test_the_doctor_asks_a_server_how_it_is(run: Commands) -> None:
    found = {row["what"]: row for row in run("doctor").of("finding")}
    assert {"program", "server", "isolation", "workers", "ready"} == found.keys()
    assert found["ready"]["state"] == "good"
    gone = run("doctor", "--server", f"http://127.0.0.1:{free_port()}", "--format", "text")
    assert gone.status == FAILED and "can't be reached" in gone.out


# Here, without a server.


@pytest.mark.long
def test_a_workflow_is_crashed_at_every_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Commands(capsys, terminal_environment(tmp_path))
    event = ("--event", 'approved={"by": "ada"}')
    done = run("test", source(tmp_path, APPROVAL), *event)
    (summary,) = done.of("summary")
    assert (done.status, summary["differs"], summary["same"]) == (OK, 0, summary["commits"])
    assert len(done.of("crash")) == summary["commits"] >= 5
    alone = run("test", source(tmp_path, APPROVAL), "--at", "1", "--format", "text")
    assert alone.status == OK and "--event TYPE=JSON sends one" in alone.out
    # An attempt that is lost is counted, and this one shows its number.
    shows = HELLO.replace("async def greet():", "async def greet(ctx):").replace(
        'return f"Hello', 'return ctx["attempt"], f"Hello'
    )
    differs = run("test", source(tmp_path, shows), "--params", "{}", "--victim", "worker", "--format", "text")
    assert differs.status in (OK, DIFFERS) and "the worker killed at each" in differs.out
    broken = run("test", source(tmp_path, "def ("))
    assert "flow.py:1:5" in refused(broken)


def test_a_machine_without_isolation_runs_nothing_unless_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from playground.sandbox import tiers
    from playground.sandbox.pool import Sandbox

    async def refuse(**given: Any) -> Sandbox:
        tiers.require_allowed(tiers.tier_of(()), allow_weak=False, unsafe=given["unsafe"], loopback=True)
        raise AssertionError("it is refused before")

    monkeypatch.setattr(Sandbox, "open", refuse)
    with short_folder() as short:
        run = Commands(capsys, terminal_environment(tmp_path, XDG_RUNTIME_DIR=str(short)))
        database = ("--database", f"sqlite:///{tmp_path}/x.db")
        done = run("run", source(tmp_path, HELLO), *database)
        assert "Tier D: NOT isolated" in refused(done) and "--unsafe-no-sandbox" in done.err
    assert "Tier D" in refused(run("test", source(tmp_path, HELLO)))
    assert run("doctor").of("finding")[1]["state"] == "bad"


def test_what_waits_for_a_person_is_listed_answered_and_handed_on_by_a_link(
    run: Commands, site: Site, tmp_path: Path
) -> None:
    asks = APPROVAL.replace('timeout="1 hour"', 'timeout="1 hour", schema={"type": "boolean", "title": "Ship it?"}')
    ids = [run("run", source(tmp_path, asks)).of("run")[0]["run"] for _ in range(2)]
    for id in ids:
        site.until({"url": f"/instances/{id}"}, "wait_started")
    listed = run("inbox").of("asked")
    assert [(row["run"], row["asked"], row["schema"]["type"]) for row in listed] == [
        (id, "approval", "boolean") for id in ids[::-1]
    ]
    assert "Ship it?" in run("inbox", "list", "--format", "text").out
    assert "$ takes a boolean" in refused(run("inbox", "answer", ids[0][:8], '"yes"'))
    assert "say which with --step: approval waits" in refused(run("inbox", "answer", ids[0], "true", "--step", "x"))
    assert run("inbox", "answer", ids[0], "true").of("accepted")[0]["run"] == ids[0]
    (link,) = run("inbox", "link", ids[1], "--label", "Ada", "--expires-in", "5 minutes").of("link")
    path = link["url"].removeprefix(f"http://127.0.0.1:{site.port}")
    sent = site.client.post(path, json=False, headers={"Accept": "application/json"})
    assert sent.json()["state"] == "answered" and link["label"] == "Ada"
    assert [site.finish({"url": f"/instances/{id}"})["output"] for id in ids] == [True, False]
    assert run("inbox").of("asked") == [] and "nothing of run" in refused(run("inbox", "answer", ids[0], "true"))
