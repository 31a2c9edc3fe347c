"""The attacks of `attacks/` and the field they are made on: one real server, reached over HTTP only.

An attack's file begins with what it tries, then `Line:` (which line of the specification it belongs to) and `End:`, how
its instance must end:

    End: complete JSON                       with this output
    End: errored NAME|NAME: TEXT             with an error of one of these names, whose message holds TEXT
    End: refused STATUS                      it never becomes an instance
    End: refused STATUS | complete JSON      either of both
    Append: COUNT JSON-STRING                this text so often is added to the source
    Danger: signal|fork|machine              what it would do to whoever runs it unconfined
"""

import json
import os
import re
import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
from http_support import HELLO, messages
from sandbox_support import children, resident
from server_support import Server

FOLDER = Path(__file__).parent.parent / "attacks"
COMPLETE = "complete"
# What the end says of an attack that a limit on elapsed time has ended.
WAITED = ("WorkflowTimeoutError", "not answering", "the worker closed its channel")
DEADLINE = 150.0  # seconds for one instance to end, on a machine that is busy with all the others
QUICK = (
    *("--attempt-cpu-seconds", "1", "--attempt-wall-seconds", "5", "--worker-losses", "2", "--workers", "8"),
    *("--step-limit", "500", "--calls-per-execution", "500", "--instance-bytes", "5000000", "--synchronous", "normal"),
    *("--fetch-allow", "*; http://*; http://localhost:8000; http://127.0.0.1; https://127.0.0.1; http://[::1]:8000"),
)
UNLIMITED = (
    "starts-per-minute",
    "reads-per-minute",
    "checks-per-minute",
    "changes-per-minute",
    "running-per-address",
    "streams-per-address",
)

# Harmless, and run before anything else: a worker that can do one of these is no place for an attack.
PROBE = """
import os
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        reached = []
        for name, attempt in {
            "signal": lambda: os.kill(os.getppid(), 0),
            "fork": lambda: os.fork() or os._exit(0),
            "write": lambda: open("/tmp/probe", "w"),
            "read": lambda: open("/etc/passwd"),
        }.items():
            try:
                attempt()
                reached.append(name)
            except OSError:
                pass
        return reached
"""


@dataclass(frozen=True)
class Attack:
    """One file of `attacks/`."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def _text(self) -> str:
        return self.path.read_text()

    @cached_property
    def _header(self) -> dict[str, list[str]]:
        fields: dict[str, list[str]] = {}
        for line in self._text.split('"""')[1].splitlines():
            name, colon, value = line.partition(": ")
            if colon and name in ("Line", "End", "Append", "Danger"):
                fields.setdefault(name, []).append(value.strip())
        return fields

    @property
    def tries(self) -> str:
        return " ".join(self._text.split('"""')[1].partition("\n\n")[0].split())

    @property
    def line(self) -> str:
        return self._header["Line"][0]

    @property
    def end(self) -> str:
        return self._header["End"][0]

    @property
    def waits(self) -> bool:
        """Whether nothing but a limit on the time it takes ends it."""
        return any(words in self.end for words in WAITED)

    @property
    def source(self) -> str:
        added = []
        for field in self._header.get("Append", []):
            count, _, text = field.partition(" ")
            added.append(json.loads(text) * int(count))
        return self._text + "".join(added)


@dataclass(frozen=True)
class Outcome:
    """What became of an attack, and of an innocent run that came right after it."""

    status: str  # of the instance, or `refused`
    refusal: int | None
    output: Any
    error: Any
    innocent: Any
    healthy: bool
    seconds: float

    def told(self) -> str:
        """In the words of an attack's `End`."""
        if self.status == "refused":
            return f"refused {self.refusal}"
        if self.status == "errored":
            return f"errored {self.error['name']}: {self.error['message']}"
        return f"{self.status} {json.dumps(self.output)}"

    def is_as(self, end: str) -> bool:
        """Whether this is the end that was expected."""
        if " | " in end:
            return any(self.is_as(each) for each in end.split(" | "))
        status, _, rest = end.partition(" ")
        if status != self.status:
            return False
        if status == "refused":
            return self.refusal == int(rest)
        if status == "complete":
            return bool(self.output == json.loads(rest))
        names, _, text = rest.partition(": ")
        return (names == "*" or self.error["name"] in names.split("|")) and text in self.error["message"]


def attacks() -> list[Attack]:
    """All of them, by name."""
    return [Attack(path) for path in sorted(FOLDER.glob("*.py"))]


OPERATOR = "the operator's"


class Field:
    """A running server that attacks and innocents are sent to. Close it when done.

    `warm`: they are deployed by tenants, each its own, with warm workers; an attack is made twice, if it can be, so
    that the second time it has the worker of the first.
    """

    def __init__(self, folder: Path, *options: str, warm: bool = False, **server: Any) -> None:
        self.warm = warm
        self._tenants: dict[str, str] = {}  # keys by name
        if warm:
            options = (*options, "--operator-token", OPERATOR, "--requests-per-tenant", "100000")
            options = (*options, "--tenant-attempt-wall-seconds", "5")
        limits = [word for name in UNLIMITED for word in (f"--{name}", "100000")]
        self.server = Server(folder, *QUICK, *limits, *options, **server).start()
        self.client = httpx2.Client(
            base_url=self.server.url, timeout=DEADLINE, trust_env=False, limits=httpx2.Limits(max_connections=100)
        )

    def close(self) -> None:
        self.client.close()
        self.server.stop()

    @property
    def pid(self) -> int:
        return self.server.pid

    def health(self) -> dict[str, Any]:
        return dict(self.client.get("/healthz").json())

    def run(self, source: str, params: Any = None) -> tuple[int, Any]:
        """Start an instance and follow it to its end: (status of the answer, the instance or the refusal)."""
        answer = self.client.post("/api/instances", json={"source": source, "params": params})
        if answer.status_code != 201:
            return answer.status_code, answer.json()
        return 201, self.finish(answer.json())

    def finish(self, made: dict[str, Any]) -> Any:
        """Follow an instance to its end; gives it as the API shows it."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with self.client.stream("GET", f"/api{made['url']}/stream") as stream:
                for message in messages(stream):
                    if message.get("event") == "end":
                        return self.client.get(f"/api{made['url']}").json()
                    if time.monotonic() > deadline:
                        return self.client.get(f"/api{made['url']}").json()

    def run_of_tenant(self, tenant: str, source: str, params: Any = None) -> tuple[int, Any]:
        """As `run`, as code that a tenant deploys to run in warm workers."""
        if tenant not in self._tenants:
            operator = {"Authorization": f"Bearer {OPERATOR}"}
            made = self.client.post(f"/api/tenants/{tenant}/keys", json={}, headers=operator)
            self._tenants[tenant] = made.json()["key"]
        with_key = {"Authorization": f"Bearer {self._tenants[tenant]}"}
        site = f"/api/tenants/{tenant}"
        answer = self.client.put(f"{site}/workflow", json={"source": source, "warm": True}, headers=with_key)
        if answer.status_code not in (200, 201):
            return answer.status_code, answer.json()
        answer = self.client.post(f"{site}/instances", json={"params": params}, headers=with_key)
        if answer.status_code != 201:
            return answer.status_code, answer.json()
        path = f"{site}/instances/{answer.json()['id']}"
        with self.client.stream("GET", f"{path}/stream", headers=with_key) as stream:
            for message in messages(stream):
                if message.get("event") == "end":
                    break
        return 201, self.client.get(path, headers=with_key).json()

    def innocent(self, name: str) -> Any:
        """What a plain one-step workflow gives."""
        params = {"name": name}
        status, shown = self.run_of_tenant("innocent", HELLO, params) if self.warm else self.run(HELLO, params)
        return shown["output"] if status == 201 else shown

    def _make(self, attack: Attack) -> tuple[int, Any]:
        if not self.warm:
            return self.run(attack.source)
        tenant = "by-" + attack.name.replace("_", "-")
        status, shown = self.run_of_tenant(tenant, attack.source)
        return (
            self.run_of_tenant(tenant, attack.source)
            if (status, shown.get("status")) == (201, COMPLETE)
            else (status, shown)
        )

    def attack(self, attack: Attack) -> Outcome:
        """Make one, and run an innocent right after."""
        began = time.monotonic()
        status, shown = self._make(attack)
        seconds = time.monotonic() - began
        innocent = self.innocent(attack.name)
        healthy = self.health()["status"] == "ok"
        if status != 201:
            return Outcome("refused", status, None, shown.get("error"), innocent, healthy, seconds)
        return Outcome(shown["status"], None, shown["output"], shown["error"], innocent, healthy, seconds)

    # What could be left behind.

    def zygote(self) -> int:
        """The fork server: the one process of the tree that has no process of ours between it and its workers."""
        (first,) = children(self.pid)
        inner = children(first)
        return inner[0] if len(inner) == 1 and "bwrap" in Path(f"/proc/{first}/comm").read_text() else first

    def workers(self) -> list[int]:
        return children(self.zygote())

    def settle(self, most: int) -> int:
        """Wait until the fork server has at most `most` children; gives how many it has then."""
        deadline = time.monotonic() + DEADLINE
        while len(found := self.workers()) > most and time.monotonic() < deadline:
            wait_for_one(found, deadline - time.monotonic())
        return len(found)

    def descriptors(self) -> list[str]:
        """What the server has open, without the numbers."""
        found = []
        for path in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                found.append(re.sub(r"\d+", "N", os.readlink(path)))
            except OSError:
                pass
        return sorted(found)

    def memory(self) -> int:
        """Resident bytes of the server and its fork server."""
        return sum(resident(pid) for pid in (self.pid, self.zygote()))


def wait_for_one(pids: Iterable[int], seconds: float) -> None:
    """Wait until one of these processes has ended."""
    watched = list(_pidfds(pids))
    waiting = select.poll()
    for pidfd in watched:
        waiting.register(pidfd, select.POLLIN)
    waiting.poll(min(seconds, 1.0) * 1000)
    for pidfd in watched:
        os.close(pidfd)


def _pidfds(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        try:
            yield os.pidfd_open(pid)
        except ProcessLookupError:
            pass
