"""The limits of one instance: its journal, its workers, what it stores and prints, and the bindings it calls.

See test_limits.py.
"""

import json
import re
from pathlib import Path

import pytest
from aio import run
from http_support import MakeSite, Site
from limits_support import EDGES, edge, in_a_step, in_run
from puppet_support import do, done, frame, framed, staged
from tenants_support import Tenant

from playground.engine.instances import WorkflowInstance
from playground.settings import Settings
from playground.workflows import events as ev


@edge("log_bytes", "'dropped': 1001")
def test_lines_past_the_budget_are_counted(make_site: MakeSite) -> str:
    made = make_site(log_bytes=1_000)
    journal = made.until(made.create(in_a_step('print("x" * 1_000)')), "workflow_completed")
    assert [event["data"].get("text") for event in journal if event["type"] in ("log", "log_truncated")] == [
        "x" * 1_000
    ]
    journal = made.until(made.create(in_a_step('print("x" * 1_001)')), "workflow_completed")
    (left_out,) = [event["data"] for event in journal if event["type"] in ("log", "log_truncated")]
    return str(left_out)


@edge("stream_bytes", "'dropped': 1")
def test_values_of_a_stream_past_the_budget_are_counted(make_site: MakeSite) -> str:
    made = make_site(stream_bytes=1_002)
    said = ""
    for size, types in ((1_000, ["stream_appended"]), (1_001, ["stream_truncated"])):
        source = in_a_step(f'await self.env.STREAMS.append("tokens", "x" * {size})')
        journal = made.until(made.create(source), "workflow_completed")
        events = [event for event in journal if event["type"].startswith("stream")]
        assert [event["type"] for event in events] == types
        said = str(events[0]["data"])
    return said


@edge("stream_names", "env.STREAMS.append: 3 streams in one execution, which is the limit.", "into the values.")
def test_streams_of_one_execution(make_site: MakeSite) -> str:
    made = make_site(stream_names=3)
    source = in_a_step('for n in range(COUNT): await self.env.STREAMS.append(f"s{n}", n)')
    assert made.finish(made.create(source.replace("COUNT", "3")))["status"] == "complete"
    return str(made.finish(made.create(source.replace("COUNT", "4")))["error"]["message"])


@edge("tags_per_run", "A run has at most 3 tags.", "into its params")
def test_tags_of_one_run(make_site: MakeSite) -> str:
    made = make_site(tags_per_run=3)
    source = in_run('step.tag(*[f"t{n}" for n in range(COUNT)])')
    assert made.finish(made.create(source.replace("COUNT", "3")))["tags"] == ["t0", "t1", "t2"]
    total = made.finish(made.create(source.replace("COUNT", "3"), tags=["other"]))["error"]["message"]
    assert "tags: more than 3 of them" in total
    answer = made.client.post("/api/instances", json={"source": source, "tags": ["a", "b", "c", "d"]})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "workflow.invalid_tag"
    return str(made.finish(made.create(source.replace("COUNT", "4")))["error"]["message"])


@edge("step_limit", "The limit of 5 steps has been reached")
def test_steps(make_site: MakeSite) -> str:
    made = make_site(step_limit=5)
    source = in_a_step("pass").replace("return await it()", 'for _ in range(COUNT): await step.do("n", lambda: None)')
    assert made.finish(made.create(source.replace("COUNT", "5")))["status"] == "complete"
    return str(made.finish(made.create(source.replace("COUNT", "6")))["error"]["message"])


def test_a_journal_has_room_for_all_the_steps_that_a_run_may_take(make_site: MakeSite) -> None:
    made = make_site()
    source = in_a_step("pass").replace("return await it()", 'for _ in range(COUNT): await step.do("n", lambda: None)')
    few, many = (made.finish(made.create(source.replace("COUNT", str(count))))["last_seq"] for count in (10, 110))
    rows = Settings()
    assert few + (many - few) / 100 * rows.step_limit < rows.journal_events


@edge("journal_events", "journal: the limit of 1,000 events has been reached", "Split the work into several instances.")
def test_events_of_a_journal(tmp_path: Path) -> str:
    async def story() -> str:
        async with staged(tmp_path, journal_events=1_000) as stage:
            said = ""
            for steps, ended in ((249, "complete"), (250, "errored")):  # 4 events each, beside the 3 that begin
                row, puppet = await stage.begin()
                await puppet.say(*(each(count=n + 1) for n in range(steps) for each in (do, done)), frame(op="finish"))
                state = await stage.end(row)
                assert state.status == ended
                said = "" if state.error is None else state.error["message"]
            return said

    return str(run(story()))


@edge("instance_bytes", "storage: the instance holds more than", "Keep large data elsewhere and store its address.")
def test_what_an_instance_stores(tmp_path: Path) -> str:
    async def story(room: int) -> tuple[str, str]:
        (tmp_path / str(room)).mkdir()
        async with staged(tmp_path / str(room), instance_bytes=room) as stage:
            row, puppet = await stage.begin()
            await puppet.say(do(), *results, frame(op="finish"))
            state = await stage.end(row)
            return state.status, "" if state.error is None else state.error["message"]

    results = (done(value="x" * 300), do("t"), done("t", value="x" * 300))
    size = len(json.dumps(None)) + sum(len(result) - len(framed(b"")) for result in results if b'"done"' in result)
    assert run(story(size))[0] == "complete"
    return str(run(story(size - 1))[1])


@edge(
    "attempt_cpu_seconds",
    "processor time: the worker used more than 1 s",
    'while step "it" ran',
    "split it into several",
)
def test_processor_time_of_an_attempt(make_site: MakeSite) -> str:
    made = make_site(attempt_cpu_seconds=1)
    short = "import time; until = time.process_time() + 0.2\n            while time.process_time() < until: pass"
    assert made.finish(made.create(in_a_step(short)))["status"] == "complete"
    return broken(made, in_a_step("while True: pass"))


@edge("attempt_wall_seconds", "attempt time: more than 2 s", 'while step "it" ran', "to wait, use step.sleep")
def test_time_of_an_attempt(make_site: MakeSite) -> str:
    made = make_site(attempt_wall_seconds=2)
    assert made.finish(made.create(in_a_step("pass")))["status"] == "complete"
    return overdone(made, in_a_step("import asyncio; await asyncio.sleep(60)"))


@edge("tenant_attempt_wall_seconds", "attempt time: more than 2 s", 'while step "it" ran', "to wait, use step.sleep")
def test_time_of_a_tenant_s_attempt(make_site: MakeSite) -> str:
    made = make_site(tenant_attempt_wall_seconds=2)
    acme = Tenant(made, "acme")
    acme.deploy(in_a_step("import asyncio; await asyncio.sleep(event['payload'])"))
    assert acme.finish(acme.create(params=0)["id"])["status"] == "complete"
    error = acme.finish(acme.create(params=60)["id"])["error"]
    assert [line["limit"] for line in made.log.of("limit")] == ["tenant_attempt_wall_seconds"]
    return str(error["message"])


@edge(
    "worker_memory_bytes",
    "A worker may use 167,772,160 bytes of memory in all.",
    "Work through the data in smaller pieces.",
)
def test_memory(make_site: MakeSite) -> str:
    made = make_site()
    assert made.finish(made.create(in_a_step("return len(bytearray(60 << 20))")))["output"] == 60 << 20
    error = made.finish(made.create(in_a_step("return len(bytearray(160 << 20))")))["error"]
    assert error["name"] == "MemoryError"
    assert [line["limit"] for line in made.log.of("limit")] == ["worker_memory_bytes"]
    return str(error["message"])


@edge("worker_losses", "The worker died 2 times in a row", "it is not tried again")
def test_workers_that_are_lost(tmp_path: Path) -> str:
    async def story() -> str:
        async with staged(tmp_path, worker_losses=2) as stage:
            row, puppet = await stage.begin()
            puppet.leave()
            await (await stage.puppets.next(row.id)).say(frame(op="finish"))
            assert (await stage.end(row)).status == "complete"
            row, puppet = await stage.begin()
            puppet.leave()
            (await stage.puppets.next(row.id)).leave()
            return str((await stage.end(row)).error["message"])

    return str(run(story()))


@edge("delay_function_ms", 'The delay function for step "it" did not return within 2 seconds')
def test_a_delay_function(make_site: MakeSite) -> str:
    made = make_site(delay_function_ms=2_000)
    config = 'config={"retries": {"limit": 1, "delay": later}}'
    source = in_a_step("import asyncio; raise ValueError").replace(
        'config={"retries": {"limit": 0, "delay": 0}}', config
    )
    head = (
        "        async def later(info):\n            import asyncio\n            await "
        "asyncio.sleep(SECONDS)\n            return 1\n\n        @step.do"
    )
    source = source.replace("        @step.do", head)
    assert made.finish(made.create(source.replace("SECONDS", "0")))["error"]["name"] == "ValueError"
    return str(made.finish(made.create(source.replace("SECONDS", "30")))["error"]["message"])


# Bindings.


@pytest.mark.parametrize(
    ("setting", "most", "call"),
    [
        ("calls_per_execution", 3, "for n in range(N): await self.env.EFFECTS.record('x')"),
        ("calls_in_flight", 3, "await asyncio.gather(*(self.env.EFFECTS.record('x') for n in range(N)))"),
        ("effects_per_instance", 3, "for n in range(N): await self.env.EFFECTS.record('x')"),
        ("kv_value_bytes", 1_000, "await self.env.KV.put('k', 'x' * (N - 2))"),
        (
            "kv_bytes",
            1_000,
            "await self.env.KV.put('k', 'x' * (N - 67))",
        ),  # a row counts 64 bytes, its key 1, its quotes 2
    ],
)
def test_bindings(make_site: MakeSite, setting: str, most: int, call: str) -> None:
    made = make_site(**{setting: most})
    assert made.finish(made.create(in_run(call.replace("N", str(most)))))["status"] == "complete"
    error = made.finish(made.create(in_run(call.replace("N", str(most + 1)))))["error"]
    for word in BINDINGS[setting]:
        assert word in error["message"]
    assert {line["limit"] for line in made.log.of("limit")} == {setting}


BINDINGS = {
    "calls_per_execution": ("env.EFFECTS: 3 calls in one execution, which is the limit.", "Call it less often"),
    "calls_in_flight": (
        "env.EFFECTS: 3 calls under way at once, which is the limit.",
        "Await some before making more.",
    ),
    "effects_per_instance": ("This instance has had 3 effects, the most there may be.", "Split the work"),
    "kv_value_bytes": ('The value of key "k" is 1,001 bytes when stored; the limit is 1,000.', "store its address"),
    "kv_bytes": ("KV is full: it holds at most 1,000 bytes.", "Delete keys, or keep large data elsewhere."),
}
for name in BINDINGS:
    EDGES[name] = [test_bindings.__name__]


@edge("call_bytes", "env.EFFECTS.record: the call is 1,001 bytes", "the limit of a call is 1,000.", "pass its address")
def test_the_size_of_a_call(make_site: MakeSite) -> str:
    made = make_site(call_bytes=1_000)
    call = in_run("await self.env.EFFECTS.record('x', text='y' * N)")
    size = (
        1_000
        - int(re.findall(r"the call is ([\d,]+) bytes", overdone(made, call.replace("N", "2000")))[0].replace(",", ""))
        + 2_000
    )
    assert made.finish(made.create(call.replace("N", str(size))))["status"] == "complete"
    return overdone(made, call.replace("N", str(size + 1)))


def overdone(made: Site, source: str) -> str:
    """What the code of an instance is told that ends with an error."""
    return str(made.finish(made.create(source))["error"]["message"])


def broken(made: Site, source: str) -> str:
    """What is said of an instance that ends because it broke a limit."""
    error = made.finish(made.create(source))["error"]
    assert error["name"] == "LimitExceeded"
    return str(error["message"])


@pytest.mark.long
def test_an_attempt_that_waits_holds_its_worker_no_longer_than_it_may(tmp_path: Path) -> None:
    async def story() -> None:
        async with staged(tmp_path, attempt_wall_seconds=1) as stage:
            row, puppet = await stage.begin()
            await puppet.say(do())
            assert (await puppet.hear())["message"].startswith("attempt time: more than 1 s")
            instance, journal = WorkflowInstance(stage.engine, "", row.id), []
            async for event in instance.subscribe():
                journal.append(event)
                if event.type == ev.EXECUTION_ENDED:  # it was given up, since it did not stop
                    break
            (errored,) = [event for event in journal if event.type == ev.ATTEMPT_ERRORED]
            assert errored.data["error"]["message"].startswith("attempt time: more than 1 s")
            assert journal[-1].data["reason"] == ev.EVICTED and puppet.exited.done()
            row, puppet = await stage.begin()
            await puppet.say(do(), done(), frame(op="finish"))
            assert (await stage.end(row)).status == "complete"

    run(story())
