"""The values of streams over real HTTP: history then live, begun anew, resumed, ended and limited."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from http_support import MakeSite, Site, bearer, code_of, messages

WRITER = """\
import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        given = event["payload"]

        async def answer(ctx):
            for number in range(given["values"]):
                await self.env.STREAMS.append("tokens", {"number": number, "attempt": ctx["attempt"]})
                if number % 100 == 99:
                    await asyncio.sleep(0.002)
            if ctx["attempt"] < given.get("attempts", 1):
                raise ConnectionError("not yet")

        await step.do("answer", answer, config={"retries": {"limit": 5, "delay": 1}})
        if given.get("waits"):
            await step.wait_for_event("go on", "go")
"""


def path(made: dict[str, Any], name: str = "tokens") -> str:
    return f"/api{made['url']}/streams/{name}"


def follow(site: Site, made: dict[str, Any], **options: Any) -> Iterator[tuple[str, Any, str | None]]:
    """(event, data, id) of each message, until the stream closes."""
    with site.client.stream("GET", path(made), **options) as answer:
        assert answer.status_code == 200, answer.read()
        for message in messages(answer):
            yield message["event"], json.loads(message["data"]), message.get("id")


class Reader:
    """A client that goes by the contract: it keeps values, and drops those of a step at its reset."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []
        self.resets: list[Any] = []
        self.last_id = ""

    def take(self, name: str, data: Any, id: str | None) -> None:
        if id is not None:
            self.last_id = id
        if name == "reset":
            self.resets.append(data)
            self.values = [value for value in self.values if data["step"] not in (None, value["step"])]
        elif name == "values":
            assert all(value["seq"] <= int(self.last_id) for value in data)
            self.values += data


def test_values_come_with_their_numbers_and_the_end_is_announced(site: Site) -> None:
    made = site.create(WRITER, params={"values": 250})
    reader = Reader()
    received = [reader.take(*message) or message for message in follow(site, made)]
    names = [name for name, _, _ in received]
    assert (names[0], names[-1]) == ("hello", "end")
    assert set(names[1:-1]) == {"values"}
    assert [value["number"] for value in reader.values] == list(range(1, 251))
    first = reader.values[0]
    assert first == {
        "seq": first["seq"],
        "step": {"kind": "do", "name": "answer", "count": 1},
        "attempt": 1,
        "number": 1,
        "value": {"number": 0, "attempt": 1},
    }
    assert received[-1][2] == str(received[-1][1]["last_seq"])
    answer = site.client.get(path(made), headers={"Last-Event-ID": reader.last_id})
    assert (answer.status_code, answer.content) == (204, b"")
    assert site.client.get(f"/api{made['url']}/streams").json() == {
        "streams": [
            {
                "name": "tokens",
                "values": 250,
                "dropped": 0,
                "steps": [{"step": first["step"], "attempt": 1, "values": 250}],
            }
        ]
    }


def test_the_page_without_scripts_lists_them(site: Site) -> None:
    made = site.create(WRITER, params={"values": 2, "attempts": 2})
    site.finish(made)
    text = site.client.get(made["url"], headers={"Accept": "text/html"}).text
    row = '<th scope="row" class="mono">tokens</th><td class="mono">answer</td><td>2</td><td>2</td>'
    assert row in text


def test_a_reader_who_came_before_the_first_value_gets_each_as_it_is_committed(site: Site) -> None:
    made = site.create(WRITER, params={"values": 3, "waits": True})
    reader = Reader()
    sent = False
    for message in follow(site, made):
        reader.take(*message)
        if reader.values and not sent:
            sent = True
            answer = site.client.post(f"/api{made['url']}/events/go", json=1, headers=bearer(made))
            assert answer.status_code == 202
    assert [value["value"]["number"] for value in reader.values] == [0, 1, 2]
    assert sent


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_that_is_cut_off_again_and_again_has_each_value_of_the_last_attempt_once(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)
    made = site.create(WRITER, params={"values": 400, "attempts": 3})
    reader = Reader()
    connections = 0
    while True:
        connections += 1
        headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}
        with site.client.stream("GET", path(made), params={"after": "0"}, headers=headers) as answer:
            if answer.status_code == 204:
                break
            for message in messages(answer):
                reader.take(message["event"], json.loads(message["data"]), message.get("id"))
                if chance.random() < 0.4:
                    break
    assert connections > 2
    assert [(value["attempt"], value["number"]) for value in reader.values] == [(3, number) for number in range(1, 401)]
    assert [value["value"] for value in reader.values] == [{"number": number, "attempt": 3} for number in range(400)]


def test_a_new_attempt_and_a_restart_begin_the_stream_anew(site: Site) -> None:
    made = site.create(WRITER, params={"values": 2, "attempts": 2})
    reader = Reader()
    for message in follow(site, made):
        reader.take(*message)
    step = {"kind": "do", "name": "answer", "count": 1}
    assert reader.resets == [{"step": step, "attempt": 2}]
    assert site.operate(made, "restart").status_code == 202
    for message in follow(site, made, headers={"Last-Event-ID": reader.last_id}):
        reader.take(*message)
    assert reader.resets == [
        {"step": step, "attempt": 2},
        {"step": step, "attempt": None},
        {"step": step, "attempt": 2},
    ]
    assert [(value["attempt"], value["number"]) for value in reader.values] == [(2, 1), (2, 2)]


PACKS = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for name in "abc":
            await step.do(name, lambda: self.env.STREAMS.append("tokens", name))
"""


def test_a_restart_from_a_step_keeps_the_values_of_those_that_began_before_it(site: Site) -> None:
    made = site.create(PACKS)
    reader, late = Reader(), Reader()
    for message in follow(site, made):
        reader.take(*message)
    for _ in range(2):
        assert site.operate(made, "restart", {"from_step": {"name": "b"}}).status_code == 202
        for message in follow(site, made, headers={"Last-Event-ID": reader.last_id}):
            reader.take(*message)
    for message in follow(site, made):
        late.take(*message)
    assert [reset["step"]["name"] for reset in reader.resets] == ["b", "c"] * 2
    assert [value["value"] for value in reader.values] == ["a", "b", "c"]
    assert reader.values == late.values


def test_a_reader_who_is_ahead_of_the_journal_begins_anew(site: Site) -> None:
    made = site.create(WRITER, params={"values": 2})
    last_seq = site.finish(made)["last_seq"]
    received = list(follow(site, made, params={"after": str(last_seq + 5)}))
    assert [name for name, _, _ in received] == ["hello", "reset", "values", "end"]
    assert received[1][1:] == ({"step": None, "attempt": None}, "0")


def test_values_that_were_dropped_are_announced(make_site: MakeSite) -> None:
    site = make_site(stream_bytes=1_000)
    made = site.create(WRITER, params={"values": 100})
    received = list(follow(site, made))
    values = sum(len(data) for name, data, _ in received if name == "values")
    dropped = sum(data["dropped"] for name, data, _ in received if name == "truncated")
    assert (values, dropped) == (15, 85)  # a value counts for at least 64 bytes


def test_what_is_no_stream_is_refused(site: Site) -> None:
    made = site.create(WRITER, params={"values": 1})
    site.finish(made)
    assert code_of(site.client.get(path(made, "a.b"))) == (400, "workflow.invalid_name")
    assert code_of(site.client.get("/api/instances/nobody/streams")) == (404, "instance.not_found")
    assert code_of(site.client.get("/api/instances/nobody/streams/tokens")) == (404, "instance.not_found")
    assert code_of(site.client.get(path(made), params={"after": "x"})) == (400, "query.invalid")
    names = [name for name, _, _ in follow(site, {"url": made["url"]} | made, params={"after": "0"})]
    assert names[-1] == "end"
    with site.client.stream("GET", path(made, "other")) as answer:
        assert [message["event"] for message in messages(answer)] == ["hello", "end"]


def test_readers_take_their_turns_from_the_limit_of_streams(make_site: MakeSite) -> None:
    site = make_site(streams_per_address=1)
    made = site.create(WRITER, params={"values": 1, "waits": True})
    with site.client.stream("GET", path(made)) as answer:
        received = messages(answer)  # a generator that nobody holds closes the stream
        assert next(received)["event"] == "hello"
        assert site.client.get(path(made)).status_code == 429
