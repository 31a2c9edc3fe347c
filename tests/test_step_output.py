"""A step's output by a call of its own: whole, however large the run is, and as the journal shows it."""

import asyncio
import base64

import pytest
from http_support import Site, bearer, code_of

from playground.web.api import step_output

STEPS = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(8):
            await step.do("large", lambda: "x" * 700_000 + str(number))
        await step.do("picture/of a/3", lambda: bytes(range(256)) * 2_000)
        await step.do("looks alike", lambda: {"$bytes": "aGk="})
        await step.do("sensitive", lambda: "hunter2", config={"sensitive": "output"})
        await step.do("none", lambda: None)
        await step.sleep("nap", 1)
        try:
            await step.do("fails", lambda: 1 / 0, config={"retries": {"limit": 0, "delay": 0}})
        except ZeroDivisionError:
            pass
        await step.wait_for_event("got", "go", timeout="1 hour")
        await step.wait_for_event("more", "more", timeout="1 hour")
"""


def test_each_output_is_there_whole_and_as_the_journal_shows_it(site: Site) -> None:
    made = site.create(STEPS)
    site.until(made, "workflow_waiting")
    settled = site.client.get(f"/api{made['url']}").json()
    path = f"/api{made['url']}/steps"

    def output(step: str) -> object:
        answer = site.client.get(f"{path}/{step}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"
        return answer.json()

    shown = [step["output"] for step in settled["steps"] if step["name"] == "large"]
    assert any(isinstance(it, dict) and "$left_out" in it for it in shown), "the view leaves values out"
    assert [output(f"do/large/{count}") for count in range(1, 9)] == ["x" * 700_000 + str(n) for n in range(8)]
    picture = site.client.get(f"{path}/do/picture%2Fof%20a/3/1")
    assert picture.headers["content-type"] == "application/octet-stream"
    assert picture.content == bytes(range(256)) * 2_000
    assert output("do/looks%20alike/1") == {"$dict": {"$bytes": "aGk="}}
    assert (output("do/sensitive/1"), output("do/none/1")) == ("[REDACTED]", None)

    for step, code in (
        ("do/large/9", (404, "step.not_found")),
        ("do/large/0", (404, "step.not_found")),
        ("do/large/x", (404, "step.not_found")),
        ("call/large/1", (404, "step.not_found")),
        ("sleep/nap/1", (409, "step.no_output")),
        ("do/fails/1", (409, "step.no_output")),
        ("wait/got/1", (409, "step.no_output")),
    ):
        assert code_of(site.client.get(f"{path}/{step}")) == code, step
    site.operate(made, "events/go", {"n": 1})
    site.until(made, "wait_completed")
    assert output("wait/got/1")["payload"] == {"n": 1}  # type: ignore[index]

    fork = site.client.post(f"/api{made['url']}/fork", json={"from_step": {"name": "picture/of a/3"}, "output": 5})
    copied = f"/api{fork.json()['url']}/steps"
    assert site.client.get(f"{copied}/do/large/8").json() == "x" * 700_000 + "7"
    assert site.client.get(f"{copied}/do/picture%2Fof%20a/3/1").json() == 5


LARGE = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = await step.do("large", lambda: bytes(range(250)) * 5_000)
        try:
            await step.do("hidden", lambda: data, config={"sensitive": "output"})
        except Exception as refused:
            await step.do("refused", lambda: str(refused))
        await step.wait_for_event("go", "go", timeout="1 hour")
        return len(data)
"""


def test_large_bytes_are_streamed_with_their_length_and_a_fork_has_them_too(site: Site) -> None:
    made, data = site.create(LARGE), bytes(range(250)) * 5_000
    site.until(made, "workflow_waiting")
    large, *_ = site.client.get(f"/api{made['url']}").json()["steps"]
    assert large["output"]["$stored_bytes"]["size"] == len(data)
    refused = site.client.get(f"/api{made['url']}/steps/do/refused/1").json()
    assert "1,666,681 bytes when stored; the limit is 1,048,576" in refused, "sensitive output stays in the journal"

    fork = site.client.post(f"/api{made['url']}/fork", json={"from_step": {"name": "refused"}}).json()
    for url in (made["url"], fork["url"]):
        answer = site.client.get(f"/api{url}/steps/do/large/1")
        assert answer.content == data and answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == str(len(data))
    site.client.delete(f"/api{made['url']}", headers=bearer(made))
    assert site.operate(fork, "events/go", {"n": 1}).status_code == 202
    assert site.finish(fork)["output"] == len(data)

    edited = {"from_step": {"name": "large"}, "output": large["output"]}
    assert code_of(site.client.post(f"/api{fork['url']}/fork", json=edited)) == (400, "not_serialisable")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 47_000, step_output.PIECE_BYTES, 100_001])
def test_bytes_are_decoded_piece_by_piece(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    text = b'{"$bytes":"' + base64.b64encode(data) + b'"}'

    async def read() -> bytes:
        return b"".join([piece async for piece in step_output.output_response(text).body_iterator])  # type: ignore

    assert asyncio.run(read()) == data
