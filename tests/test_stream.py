"""The stream over real HTTP: history then live, resumed without a gap or a duplicate, ended, dropped, and said goodbye
to.
"""

import json
import random
import socket
import threading
import time
from typing import Any

import httpx2
import pytest
from http_support import APPROVAL, DEADLINE, HELLO, MakeSite, Site, bearer, code_of, messages, settled

from playground.web.api import stream, stream_source

MANY_STEPS = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def nothing():
            return None

        for number in range(event["payload"]["steps"]):
            await step.do("count", nothing)
"""

BIG_RESULTS = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def big():
            return "x" * 500_000

        for number in range(40):
            await step.do("big", big)
"""


def path(made: dict[str, Any]) -> str:
    return f"/api{made['url']}/stream"


def test_the_history_comes_first_then_what_is_committed_and_the_end_is_announced(site: Site) -> None:
    made = site.create(APPROVAL)
    seqs: list[int] = []
    with site.client.stream("GET", path(made)) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-encoding" not in answer.headers
        received = messages(answer)
        hello = next(received)
        assert (hello["event"], hello["retry"]) == ("hello", "1000")
        assert set(json.loads(hello["data"])) == {"server_time", "last_seq", "status"}
        for message in received:
            data = json.loads(message["data"])
            if message["event"] == "end":
                break
            assert (message["event"], message["id"]) == ("journal", str(data[-1]["seq"]))
            seqs += [event["seq"] for event in data]
            if any(event["type"] == "workflow_waiting" for event in data):
                assert (
                    site.client.post(f"/api{made['url']}/events/approved", json=1, headers=bearer(made)).status_code
                    == 202
                )
        assert data == {"status": "complete", "last_seq": seqs[-1]}
        assert list(received) == []
    assert seqs == list(range(1, seqs[-1] + 1))


def test_the_stream_shows_events_as_the_api_does(site: Site) -> None:
    made = site.create()
    streamed = [event for name, data in site.follow(made) if name == "journal" for event in data]
    listed = site.journal(made)
    assert streamed == listed
    assert [event["type"] for event in streamed][-1] == "workflow_completed"


def test_asked_again_with_nothing_new_after_the_end_it_answers_204(site: Site) -> None:
    made = site.create()
    last_seq = site.finish(made)["last_seq"]
    for query, headers in (
        ({"after": str(last_seq)}, {}),
        ({}, {"Last-Event-ID": str(last_seq)}),
        ({"after": "0"}, {"Last-Event-ID": str(last_seq)}),
    ):
        answer = site.client.get(path(made), params=query, headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
    assert [name for name, _ in site.follow(made, after=last_seq - 1)] == ["hello", "journal", "end"]


def test_a_filter_leaves_out_other_types_of_events(site: Site) -> None:
    made = site.create(MANY_STEPS, params={"steps": 3})
    last_seq = site.finish(made)["last_seq"]
    wanted = ("step_started", "step_completed")
    listed = [event for event in site.journal(made) if event["type"] in wanted]
    with site.client.stream("GET", path(made), params={"filter": ", ".join(wanted)}) as answer:
        received = list(messages(answer))
    events = [event for message in received if message["event"] == "journal" for event in json.loads(message["data"])]
    assert events == listed and len(events) == 6
    assert (received[-1]["event"], received[-1]["id"]) == ("end", str(last_seq)), "so that asking again gives 204"
    after = {"filter": "log", "after": str(last_seq)}
    assert site.client.get(path(made), params=after).status_code == 204
    for bad in ("", "nothing_like_it", "log,,"):
        assert code_of(site.client.get(path(made), params={"filter": bad})) == (400, "query.invalid")


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_that_is_cut_off_again_and_again_gets_every_event_once(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    made = site.create(MANY_STEPS, params={"steps": 300})
    seqs: list[int] = []
    connections = 0
    while True:
        connections += 1
        headers = {"Last-Event-ID": str(seqs[-1])} if seqs else {}
        with site.client.stream("GET", path(made), params={"after": "0"}, headers=headers) as answer:
            if answer.status_code == 204:
                break
            for message in messages(answer):
                if message["event"] == "journal":
                    seqs += [event["seq"] for event in json.loads(message["data"])]
                if chance.random() < 0.3:
                    break
    assert seqs == list(range(1, 300 * 4 + 6))
    assert connections > 2


def test_several_readers_see_the_same(site: Site) -> None:
    made = site.create(MANY_STEPS, params={"steps": 200})
    seen: list[list[int]] = [[] for _ in range(4)]

    def read(into: list[int]) -> None:
        with (
            httpx2.Client(base_url=site.client.base_url, timeout=DEADLINE, trust_env=False) as client,
            client.stream("GET", path(made)) as answer,
        ):
            for message in messages(answer):
                if message["event"] == "journal":
                    into += [event["seq"] for event in json.loads(message["data"])]

    readers = [threading.Thread(target=read, args=(into,)) for into in seen]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(DEADLINE)
    assert seen == [list(range(1, 200 * 4 + 6))] * 4


def test_a_burst_becomes_few_messages(site: Site) -> None:
    made = site.create(MANY_STEPS, params={"steps": 500})
    began = time.monotonic()
    sizes = [len(data) for name, data in site.follow(made) if name == "journal"]
    assert sum(sizes) == 500 * 4 + 5
    assert len(sizes) < 10 + (time.monotonic() - began) / stream.PACE_SECONDS
    assert max(sizes) <= stream_source.BATCH_EVENTS


def test_a_reader_ahead_of_the_journal_begins_anew(site: Site) -> None:
    made = site.create(APPROVAL)
    last_seq = site.until(made, "workflow_waiting")[-1]["seq"]
    received = site.follow(made, after=last_seq + 1_000)
    assert next(received)[0] == "hello"
    name, view = next(received)
    assert (name, view["last_seq"], view["status"]) == ("reset", last_seq, "waiting")
    site.operate(made, "terminate")
    rest = list(received)
    assert next(event["seq"] for name, data in rest if name == "journal" for event in data) == last_seq + 1
    assert rest[-1] == ("end", {"status": "terminated", "last_seq": rest[-2][1][-1]["seq"]})


def test_a_reader_goes_on_through_a_restart_of_the_instance(site: Site) -> None:
    made = site.create(HELLO)
    last_seq = site.finish(made)["last_seq"]
    site.operate(made, "restart")
    types = [event["type"] for name, data in site.follow(made, after=last_seq) if name == "journal" for event in data]
    assert (types[0], types[-1]) == ("workflow_restarted", "workflow_completed")


def test_a_deleted_instance_ends_its_streams(site: Site) -> None:
    made = site.create(APPROVAL)
    received = site.follow(made)
    assert next(received)[0] == "hello"
    assert site.client.delete(f"/api{made['url']}", headers=bearer(made)).status_code == 204
    name, data = list(received)[-1]
    assert name == "end"
    assert data["status"] in ("deleted", "terminated")  # it is terminated first, and whoever reads quickly sees that
    assert site.client.get(path(made)).status_code == 404


def test_pings_are_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING_SECONDS", 0.05)
    made = site.create(APPROVAL)
    ping = next(data for name, data in site.follow(made) if name == "ping")
    assert set(ping) == {"server_time"}


def test_only_so_many_streams_are_open_from_one_address(make_site: MakeSite) -> None:
    site = make_site(streams_per_address=2)
    made = site.create(APPROVAL)
    with site.client.stream("GET", path(made)), site.client.stream("GET", path(made)):
        answer = site.client.get(path(made))
        assert code_of(answer) == (429, "too_many")
        assert int(answer.headers["retry-after"]) > 0
    settled(site, lambda: site.context.limits.streams.total_open() == 0)
    with site.client.stream("GET", path(made)) as answer:
        assert answer.status_code == 200


def test_head_opens_no_stream(site: Site) -> None:
    made = site.create(APPROVAL)
    assert site.client.head(path(made)).status_code == 200
    settled(site, lambda: site.context.limits.streams.total_open() == 0)


@pytest.mark.parametrize("headers", [{"Last-Event-ID": "x"}, {"Last-Event-ID": "1.5"}, {"Last-Event-ID": "9" * 20}])
def test_a_place_that_cannot_be_read_is_refused(site: Site, headers: dict[str, str]) -> None:
    made = site.create()
    answer = site.client.get(path(made), headers=headers)
    assert code_of(answer) == (400, "query.invalid")


def test_an_unknown_instance_has_no_stream(site: Site) -> None:
    assert site.client.get("/api/instances/nobody/stream").status_code == 404


def test_a_reader_that_does_not_read_is_dropped_and_the_run_goes_on(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(stream_send_seconds=1)
    made = site.create(BIG_RESULTS)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", site.port))
        deaf.sendall(f"GET {path(made)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        settled(site, lambda: site.context.limits.streams.total_open() == 1)
        settled(site, lambda: bool(site.log.of("stream.dropped")))
        assert site.context.limits.streams.total_open() == 0
        assert site.finish(made)["status"] == "complete"
    assert [data[-1]["type"] for name, data in site.follow(made) if name == "journal"][-1] == "workflow_completed", (
        "a history that is read in many parts comes whole, though nothing is committed any more"
    )
    assert site.log.of("failed") == []
    assert caplog.records == []


def test_a_client_that_vanishes_leaves_nothing_behind(site: Site) -> None:
    made = site.create(APPROVAL)
    for _ in range(5):
        with socket.socket() as gone:
            gone.connect(("127.0.0.1", site.port))
            gone.sendall(f"GET {path(made)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert gone.recv(1) == b"H"
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    settled(site, lambda: site.context.limits.streams.total_open() == 0)
    site.until(made, "workflow_waiting")
    site.operate(made, "events/approved", "yes")
    assert site.finish(made)["output"] == "yes"
    assert site.log.of("failed") == []


def test_a_server_restart_is_announced_and_leaves_no_gap(make_site: MakeSite) -> None:
    site = make_site()
    made = site.create(APPROVAL)
    before: list[tuple[str, Any]] = []
    waiting = threading.Event()

    def read() -> None:
        for name, data in site.follow(made):
            before.append((name, data))
            if name == "journal" and any(event["type"] == "workflow_waiting" for event in data):
                waiting.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert waiting.wait(DEADLINE)
    site.stop()
    reader.join(DEADLINE)
    assert not reader.is_alive()
    assert before[-1] == ("restart", {})
    seqs = [event["seq"] for name, data in before if name == "journal" for event in data]
    site.start()
    site.operate(made, "events/approved", "after the restart")
    for name, data in site.follow(made, last_event_id=seqs[-1]):
        if name == "journal":
            seqs += [event["seq"] for event in data]
    assert seqs == list(range(1, seqs[-1] + 1))
    done = site.client.get(f"/api{made['url']}").json()
    assert (done["status"], done["output"]) == ("complete", "after the restart")
    assert [len(step["attempts"]) for step in done["steps"] if step["kind"] == "do"] == [1]
