"""A whole playground inside the test process: real store, sandbox, engine and HTTP server on an event loop of their own
thread.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from database_support import url_in

from playground.engine import Engine
from playground.engine.clock import SystemClock
from playground.engine.ids import SystemIds
from playground.examples import load
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.web.app import count_protocol_refusals, create_app
from playground.web.http import listening, server
from playground.web.http.connections import ConnectionLimits

DEADLINE = 30.0  # seconds after which a test gives up waiting
GENEROUS = {
    "drain_seconds": 0,
    "starts_per_minute": 100_000,
    "checks_per_minute": 100_000,
    "check_seconds_per_minute": 100_000,
    "snippets_per_minute": 100_000,
    "changes_per_minute": 100_000,
    "reads_per_minute": 100_000,
}

HELLO = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("greet")
        async def greet():
            print("hello")
            return f"Hello, {event['payload'].get('name', 'world')}!"

        return {"greeting": await greet()}
"""

APPROVAL = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("ask")
        async def ask():
            return "asked"

        await ask()
        approval = await step.wait_for_event("approval", "approved", timeout="1 hour")
        return approval["payload"]
"""


MakeSite = Callable[..., "Site"]


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="playground under test", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


class Log(list[tuple[str, dict[str, Any]]]):
    """Every line of the server's log, as (event, fields)."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [fields for name, fields in self if name == event]


class Site:
    """A playground on a port of its own; `client` talks to it.

    It can be stopped and started again on the same port and database.
    """

    def __init__(self, background: Background, sandbox: Sandbox, folder: Path, **settings: Any) -> None:
        self._background, self._sandbox = background, sandbox
        self.settings = Settings(**({"database": url_in(folder, "test.db"), "port": 0} | GENEROUS | settings))
        self.log = Log()
        self.port = self.settings.port
        self.start()
        # Without `verify=False` each client reads all certificates that this machine trusts: 20 ms.
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=DEADLINE, trust_env=False, verify=False
        )

    def start(self) -> None:
        """Serve; returns once it does."""
        self._background.call(self._start())

    def stop(self) -> None:
        """End as on SIGTERM."""
        self._background.call(self._stop())

    def close(self) -> None:
        self.client.close()
        self.stop()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the server's own loop."""
        return self._background.call(coroutine)

    async def _start(self) -> None:
        self._opened = AsyncExitStack()
        self._stopping = asyncio.Event()
        sock = listening.listen("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        store = open_store(
            self.settings.database, synchronous="normal", log=self.log, slow_seconds=self.settings.slow_commit_ms / 1000
        )
        self._opened.push_async_callback(store.close)
        ids = SystemIds()
        self.engine = await self._opened.enter_async_context(
            Engine.open(
                settings=self.settings, store=store, sandbox=self._sandbox, clock=SystemClock(), ids=ids, log=self.log
            )
        )
        app = create_app(self.engine, self.settings, load(), ids=ids, log=self.log, version="1.2.3")
        self.context = app.state.context
        self.connections = ConnectionLimits.from_settings(self.settings, count_protocol_refusals(self.context))
        started = asyncio.Event()
        self._serving = asyncio.create_task(
            server.serve(
                app,
                sock,
                self._stopping,
                self.connections,
                on_started=started.set,
                on_stop=app.state.context.streams.stop,
            )
        )
        await started.wait()

    async def _stop(self) -> None:
        self._stopping.set()
        await self._serving
        await self._opened.aclose()

    @property
    def database(self) -> Path:
        return Path(self.settings.database.removeprefix("sqlite:///"))

    def stored(self) -> bytes:
        """All that is in the files of its database."""
        return b"".join(file.read_bytes() for file in self.database.parent.glob(self.database.name + "*"))

    # What tests ask for most.

    def create(self, source: str = HELLO, **body: Any) -> dict[str, Any]:
        """Start an instance; gives the answer with its control token."""
        answer = self.client.post("/api/instances", json={"source": source, **body})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def journal(self, made: dict[str, Any]) -> list[dict[str, Any]]:
        """The first events of an instance, as many as one page holds."""
        return list(self.client.get(f"/api{made['url']}/events").json()["events"])

    def share(self, source: str, **body: Any) -> str:
        """The path of the link to this code."""
        return str(self.client.post("/api/snippets", json={"source": source, **body}).json()["url"])

    def operate(self, made: dict[str, Any], operation: str, body: Any = None) -> httpx2.Response:
        """POST to an instance with its token."""
        return self.client.post(f"/api{made['url']}/{operation}", json=body, headers=bearer(made))

    def follow(
        self, made: dict[str, Any], after: int | None = None, last_event_id: int | None = None
    ) -> Iterator[tuple[str, Any]]:
        """(event, data) of each message on an instance's stream, until it closes."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        query = {} if after is None else {"after": str(after)}
        with self.client.stream("GET", f"/api{made['url']}/stream", params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            for message in messages(answer):
                yield message["event"], json.loads(message["data"])

    def until(self, made: dict[str, Any], type: str) -> list[dict[str, Any]]:
        """Follow an instance until an event of this type is committed; gives the journal so far."""
        journal: list[dict[str, Any]] = []
        for name, data in self.follow(made):
            if name == "journal":
                journal += data
                if any(event["type"] == type for event in data):
                    return journal
        raise AssertionError(f"the stream ended without {type}: {[event['type'] for event in journal]}")

    def finish(self, made: dict[str, Any]) -> dict[str, Any]:
        """Follow an instance to its end; gives it as the API shows it."""
        assert [name for name, _ in self.follow(made)][-1] == "end"
        return dict(self.client.get(f"/api{made['url']}").json())


def settled(site: Site, ready: Callable[[], bool]) -> None:
    """Wait until something has come to be on the server's loop."""

    async def watch() -> None:
        async with asyncio.timeout(DEADLINE):
            while not ready():
                await asyncio.sleep(0)

    site.call(watch())


def messages(answer: httpx2.Response) -> Iterator[dict[str, str]]:
    """The messages of an event stream, as the fields they were sent with."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            assert name in ("id", "event", "data", "retry"), line
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


def bearer(made: dict[str, Any]) -> dict[str, str]:
    """The headers that carry an instance's control token."""
    return {"Authorization": f"Bearer {made['control_token']}"}


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, which JSON-RPC has among an error's data."""
    error = answer.json()["error"]
    return answer.status_code, error.get("data", error)["code"]


def refused(site: Site, answer: Any) -> tuple[int, str, str]:
    """Status, code and message of a refusal, which is one line in the log and shows nothing of the inside."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert "Traceback" not in answer.text
    (line,) = site.log
    name = "limit" if "setting" in error else "refused"
    assert (line[0], line[1]["status"], line[1]["code"]) == (name, answer.status_code, error["code"])
    return answer.status_code, error["code"], error["message"]


def sites(
    database: None, sandbox: tuple[Background, Sandbox], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeSite]:
    """A fixture: makes sites with the settings given, each on a database of its own, and closes them at the end."""
    with ExitStack() as closing:

        def make(**settings: Any) -> Site:
            site = Site(*sandbox, tmp_path_factory.mktemp("site"), **settings)
            closing.callback(site.close)
            return site

        yield make


@contextmanager
def running_sandbox(**isolation: Any) -> Iterator[tuple[Background, Sandbox]]:
    """A sandbox on its own loop, for any number of sites; `isolation` as `Sandbox.open` takes it."""
    background = Background()

    async def start() -> Sandbox:
        settings = Settings()
        return await Sandbox.open(
            memory_bytes=settings.worker_memory_bytes,
            cpu_seconds=settings.worker_cpu_seconds,
            parked=2,
            log=lambda *_, **__: None,
            **isolation,
        )

    sandbox = background.call(start())
    try:
        yield background, sandbox
    finally:
        background.call(sandbox.close())
        background.close()
