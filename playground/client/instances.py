"""One instance on a server: read it, follow it, and do to it what a person can.

A handle knows where the instance is and the token that changes it; it holds no state of the instance, and may be made
of an id at any time. An instance of a tenant has the same calls under another address, with the tenant's key as token.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec

from playground.client.connection import ANSWER_SECONDS, Connection
from playground.client.errors import BadAnswer, NotFound
from playground.web.api.response_types import (
    Accepted,
    AnswerLinkCreated,
    ChaosReport,
    Created,
    Event,
    Events,
    InboxItem,
    Instance,
    Reply,
)
from playground.workflows import events as ev

NOTHING = msgspec.UNSET  # of an argument that is left out, where None is JSON's null
REPLY_SECONDS = 3_600.0  # at most for a workflow's reply; the server's own limit (reply_seconds) ends it before
PAGE_EVENTS = 1_000
DELETED = "deleted"  # the status in the end of the stream of an instance that is gone

T = TypeVar("T")
KillPoint = Literal["now", "during-step", "before-commit"]


@dataclass(frozen=True, slots=True)
class StepRef:
    """A step of an instance, as the API names it. `count`: which call of this name, from 1."""

    name: str
    count: int = 1
    kind: str = ev.DO

    def as_json(self) -> dict[str, Any]:
        """The step in a body."""
        return {"name": self.name, "count": self.count, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Reset:
    """The journal is shorter than what was read of it: begin anew from this view."""

    view: Instance


class RunOf:
    """An instance: what every one of them has.

    `address` is that of the API without the server; `token` the control token, or the key of its tenant; None reads.
    """

    def __init__(self, connection: Connection, address: str, id: str, token: str | None) -> None:
        self._connection, self.address, self.id, self.token = connection, address, id, token

    # Reading.

    async def get(self, *, at: int | None = None) -> Instance:
        """The instance as it stands, or as it stood after the event whose seq is `at`."""
        return await self._connection.ask("GET", self.address, Instance, token=self.token, query={"at": at})

    async def journal(self, *, after: int = 0) -> AsyncIterator[Event]:
        """The events that there are after a seq, without waiting for more."""
        while True:
            query = {"after": after, "limit": PAGE_EVENTS}
            page = await self._connection.ask("GET", f"{self.address}/events", Events, token=self.token, query=query)
            for event in page.events:
                yield event
            if not page.more:
                return
            after = page.events[-1].seq

    def export(self) -> AsyncIterator[bytes]:
        """The run as a file, as docs/run-files.md has it, in pieces of any size. One without its last line is cut off.

        Raises as `get`, while it is read.
        """
        return self._connection.download(f"{self.address}/export", token=self.token)

    async def test_file(self) -> str:
        """A pytest file that pins what the run did, as docs/run-files.md has it.

        Raises:
            Conflict: this run can't be a test; the message says why.
        """
        address = f"{self.address}/test.py"
        return b"".join([part async for part in self._connection.download(address, token=self.token)]).decode()

    async def stream(self, *, after: int = 0, types: Iterable[str] = ()) -> AsyncIterator[Event | Reset]:
        """Events after a seq, those that there are and those that come, until the instance has ended.

        It goes on over cut connections and servers that restart. `types`: only events of these types.

        Raises:
            NotFound: there is no such instance, or it is deleted meanwhile.
            NotReached: the server stays away for longer than the client's patience.
        """
        query = {"filter": ",".join(types) or None}
        messages = self._connection.stream(f"{self.address}/stream", after=after, token=self.token, query=query)
        async for message in messages:
            if message.event == "journal":
                for shown in message.data:
                    yield _converted(shown, Event)
            elif message.event == "reset":
                yield Reset(_converted(message.data, Instance))
            elif message.event == "end" and message.data.get("status") == DELETED:
                raise NotFound(404, "instance.not_found", f'Instance "{self.id}" was deleted.', {})

    async def events(self, *, after: int = 0) -> AsyncIterator[Event]:
        """As `stream`, for programs that only look on: a reset begins the journal anew."""
        async for item in self.stream(after=after):
            if isinstance(item, Reset):
                async for event in self.journal():
                    yield event
            else:
                yield item

    async def wait(self) -> Instance:
        """The instance once it has ended. Raises as `stream`."""
        async for _ in self.stream(types=ev.FINAL_TYPES):
            pass
        return await self.get()

    # Operations.

    async def send_event(self, type: str, payload: Any = None) -> Accepted:
        """Send an event."""
        return await self._post(f"events/{_quoted(type)}", payload)

    async def ask(self, type: str, payload: Any = None, *, seconds: float = REPLY_SECONDS) -> Any:
        """Send an event and return what the workflow replies to it.

        Raises:
            Conflict: the workflow refuses it; the message is its own.
            Unavailable: it did not reply in the server's time (`reply_seconds`).
        """
        address = f"{self.address}/events/{_quoted(type)}"
        found = await self._connection.ask(
            "POST", address, Reply, payload, token=self.token, query={"reply": 1}, seconds=seconds
        )
        return found.reply

    async def answer(self, item: InboxItem, payload: Any = None, *, type: str | None = None) -> Accepted:
        """Answer what an item of the inbox asks, and nothing else. Raises Conflict: it is not asked any more."""
        address, _, query = item.answer.partition("?")
        fields = dict(parse_qsl(query)) | ({} if type is None else {"type": type})
        return await self._connection.ask("POST", address, Accepted, payload, token=self.token, query=fields)

    async def answer_link(
        self, step: str, count: int = 1, *, label: str = "", expires_in: int | str | None = None
    ) -> AnswerLinkCreated:
        """A link with which somebody answers this wait, once, without an account. `expires_in`: milliseconds, or a text
        such as "2 days".
        """
        body = {"label": label, "expires_in": expires_in}
        address = f"{self.address}/waits/{_quoted(step)}/{count}/links"
        return await self._connection.ask("POST", address, AnswerLinkCreated, body, token=self.token)

    async def pause(self) -> Accepted:
        """Start no new step."""
        return await self._post("pause", {})

    async def resume(self) -> Accepted:
        """Go on after a pause."""
        return await self._post("resume", {})

    async def terminate(self, *, rollback: bool = False) -> Accepted:
        """End it, with its rollback handlers if asked."""
        return await self._post("terminate", {"rollback": rollback})

    async def restart(self, from_step: StepRef | None = None) -> Accepted:
        """Run again from the top, or from a step with what was stored before it."""
        return await self._post("restart", {"from_step": None if from_step is None else from_step.as_json()})

    async def wake(self, step: StepRef | None = None) -> Accepted:
        """End the current sleep, retry wait or event timeout now."""
        return await self._post("wake", {"step": None if step is None else step.as_json()})

    async def skip_sleeps(self, *, on: bool = True) -> Accepted:
        """Have every sleep and every wait before a retry be over at once from now on, or no longer."""
        return await self._post("skip-sleeps", {"on": on})

    async def kill_worker(self, when: KillPoint = "now") -> Accepted:
        """SIGKILL the worker; what is committed stays."""
        return await self._post("kill-worker", {"when": when})

    async def change_code(self, source: str) -> Accepted:
        """Go on with other code, where the history fits it."""
        return await self._post("code", {"source": source})

    async def delete(self) -> None:
        """Remove it and its journal."""
        await self._connection.command("DELETE", self.address, token=self.token)

    def _fork_body(self, from_step: StepRef | None, output: Any, source: str | None) -> dict[str, Any]:
        step = None if from_step is None else from_step.as_json()
        return {"from_step": step, "output": output, "source": source}

    async def _post(self, what: str, body: Any) -> Accepted:
        return await self._connection.ask("POST", f"{self.address}/{what}", Accepted, body, token=self.token)


class Anonymous(RunOf):
    """An instance that is no tenant's: whoever knows its id may read it and fork it."""

    async def fork(
        self, from_step: StepRef | None = None, *, output: Any = NOTHING, source: str | None = None
    ) -> "Anonymous":
        """A new instance from what this one has finished before a step; `output` is that step's result instead."""
        body = self._fork_body(from_step, output, source)
        made = await self._connection.ask("POST", f"{self.address}/fork", Created, body, token=self.token)
        return anonymous(self._connection, made.id, made.control_token)

    async def chaos(self) -> Accepted:
        """Run it again for each of its commits, with the worker killed before that one."""
        return await self._post("chaos", {})

    async def chaos_report(self) -> ChaosReport:
        """What came of the reruns so far."""
        return await self._connection.ask("GET", f"{self.address}/chaos", ChaosReport, seconds=ANSWER_SECONDS)


def anonymous(connection: Connection, id: str, token: str | None) -> Anonymous:
    """The handle of an instance that is no tenant's."""
    return Anonymous(connection, f"/api/instances/{_quoted(id)}", id, token)


def _converted(shown: Any, type: type[T]) -> T:
    try:
        return msgspec.convert(shown, type)
    except msgspec.ValidationError as error:
        raise BadAnswer(f"the stream sent something unknown: {error}") from None


def _quoted(text: str) -> str:
    return quote(text, safe="")
