"""The workflows that bench/chaos.py and bench/chaos_nodes.py run: rounds of every kind, how they are played while
things fail, what they give, and what must not be in their journals and ledgers.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

END_SECONDS = 600.0  # for all to end once nothing fails any more

SOURCE = """
import asyncio
import random
from workers import NonRetryableError, WorkflowEntrypoint, WorkflowTimeoutError

PATIENT = {"retries": {"limit": 50, "delay": "1 second", "backoff": "constant"}, "timeout": "30 seconds"}

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        total = 0
        for number in range(event.payload["rounds"]):
            total += await getattr(self, event.payload["kinds"][number])(number, step)
        return total

    async def sequence(self, number, step):
        values = []
        for place in range(5):
            @step.do(f"one after another {number}-{place}", config=PATIENT)
            async def one():
                print(f"running {number}-{place}")
                await asyncio.sleep(0.05)
                return number * place
            values.append(await one())
        return sum(values)

    async def parallel(self, number, step):
        async def work(place, ctx):
            await asyncio.sleep(0.1 + 0.1 * place)
            return number + place
        def one(place):
            return step.do(f"side by side {number}-{place}", lambda ctx: work(place, ctx), config=PATIENT)
        return sum(await asyncio.gather(*(one(place) for place in range(4))))

    async def flaky(self, number, step):
        @step.do("flaky", config=PATIENT)
        async def flaky(ctx):
            await asyncio.sleep(0.1)
            if random.random() < 0.5:
                raise ConnectionError("not now")
            return number
        return await flaky()

    async def refused(self, number, step):
        @step.do("refused", config=PATIENT)
        async def refused():
            raise NonRetryableError("never")
        try:
            await refused()
        except NonRetryableError:
            return 1

    async def nap(self, number, step):
        await step.sleep("nap", 500 + 700 * (number % 4))
        return 10

    async def ask(self, number, step):
        answer = await step.wait_for_event("answer", "answer", timeout="1 day")
        return answer.payload

    async def expire(self, number, step):
        try:
            await step.wait_for_event("nobody", "nobody", timeout="1 second")
        except WorkflowTimeoutError:
            return 100

    async def charge(self, number, step):
        @step.do(f"charge {number}", config=PATIENT)
        async def charge():
            await self.env.EFFECTS.charge(number)
            await self.env.EFFECTS.email("ada@example.com", key=f"receipt {number}")
            await asyncio.sleep(0.2)
            return number
        return await charge()

    async def everything(self, number, step):
        parts = (self.parallel(number, step), self.nap(number, step), self.sequence(number, step))
        return sum(await asyncio.gather(*parts))
"""
KINDS = ("sequence", "parallel", "flaky", "refused", "nap", "ask", "expire", "everything", "charge")


class Client(Protocol):
    """What is asked: a server, or the one of several that answers."""

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON of one request. Raises OSError when there is no answer."""


@dataclass
class Instance:
    """One workflow: what it is made of, and what is seen of it."""

    id: str
    kinds: list[str]
    token: str = ""
    journal: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/api/instances/{self.id}"

    def read(self, client: Client) -> None:
        """Read on in its journal."""
        more = True
        while more:
            after = self.journal[-1]["seq"] if self.journal else 0
            status, page = client.call("GET", f"{self.path}/events?after={after}&limit=1000")
            if status != 200:
                raise OSError(f"{status} {page}")
            self.journal += page["events"]
            more = page["more"]

    @property
    def over(self) -> bool:
        return bool(self.journal) and self.journal[-1]["type"] in (
            "workflow_completed",
            "workflow_errored",
            "workflow_terminated",
        )

    @property
    def status(self) -> str:
        """Paused or not, as the journal tells."""
        last = [event["type"] for event in self.journal if event["type"] in ("workflow_paused", "workflow_resumed")]
        return "paused" if last and last[-1] == "workflow_paused" else "going"

    def answer(self, client: Client) -> None:
        """Send the event it waits for. Once, unless a server carries out what it did not answer in time."""
        asked = sum(
            event["type"] == "wait_started" and event["data"]["event_type"] == "answer" for event in self.journal
        )
        sent = sum(event["type"] == "event_received" for event in self.journal)
        if sent < asked:
            client.call("POST", f"{self.path}/events/answer", sent, self.token)

    def ask(self, client: Client, operation: str, body: Any = None) -> bool:
        """Have something done to it; whether it was."""
        try:
            return client.call("POST", f"{self.path}/{operation}", body, self.token)[0] < 300
        except OSError:
            return False


def create(client: Client, count: int, rounds: int, chance: random.Random) -> list[Instance]:
    """So many workflows of so many rounds, of kinds that are drawn."""
    instances = []
    for number in range(count):
        instance = Instance(f"chaos-{number}", [chance.choice(KINDS) for _ in range(rounds)])
        body = {"source": SOURCE, "id": instance.id, "params": {"rounds": rounds, "kinds": instance.kinds}}
        status, answer = client.call("POST", "/api/instances", body)
        if status != 201:
            raise SystemExit(f"no instance: {status} {answer}")
        instance.token = answer["control_token"]
        instances.append(instance)
    return instances


def play(
    client: Client,
    instances: list[Instance],
    chance: random.Random,
    seconds: float,
    fail: Callable[[], None],
    mend: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Have something fail every now and then for so long, mend it, and let all workflows end; how long things failed,
    and how long it took in all.
    """
    stop = threading.Event()
    tending = threading.Thread(target=_tend, args=(client, instances, stop), daemon=True)
    tending.start()
    begun = time.monotonic()
    while time.monotonic() - begun < seconds and not all(instance.over for instance in instances):
        stop.wait(chance.uniform(0.05, 1.0))
        fail()
    failed = time.monotonic() - begun
    mend()
    while not all(instance.over for instance in instances) and time.monotonic() - begun < failed + END_SECONDS:
        stop.wait(0.2)
    stop.set()
    tending.join(30)
    return failed, time.monotonic() - begun


def _tend(client: Client, instances: list[Instance], stop: threading.Event) -> None:
    """Read journals, answer what is asked and end pauses, until told to stop."""
    while not stop.wait(0.2):
        for instance in instances:
            try:
                if not instance.over:
                    instance.read(client)
                    instance.answer(client)
                    if instance.status == "paused":
                        instance.ask(client, "resume")
            except OSError:
                pass  # whoever would answer is in trouble


def expected(kinds: list[str], answers: Sequence[int]) -> int:
    """What a workflow of these rounds gives that was sent these events, in the order in which they were received."""
    total = asked = 0
    for number, kind in enumerate(kinds):
        parts = {
            "sequence": number * 10,
            "parallel": number * 4 + 6,
            "flaky": number,
            "refused": 1,
            "nap": 10,
            "expire": 100,
            "ask": answers[asked] if kind == "ask" else 0,
            "charge": number,
        }
        parts["everything"] = parts["parallel"] + parts["nap"] + parts["sequence"]
        asked += kind == "ask"
        total += parts[kind]
    return total


def wrongs(journal: list[dict[str, Any]], kinds: list[str]) -> list[str]:
    """What is not as it should be in the journal of a finished workflow of these rounds."""
    found = []
    if [event["seq"] for event in journal] != list(range(1, len(journal) + 1)):
        found.append("seq has gaps or repeats")
    last = journal[-1]
    if last["type"] != "workflow_completed":
        found.append(f"ended with {last['type']}: {last['data']}")
    else:
        answers = [event["data"]["payload"] for event in journal if event["type"] == "event_received"]
        if last["data"]["output"] != expected(kinds, answers):
            found.append(f"gave {last['data']['output']}, not {expected(kinds, answers)}")
    starts: Counter[str] = Counter()
    ended: dict[str, int] = {}
    attempts: dict[str, int] = {}
    for event in journal:
        if "step" not in event or event["type"] == "step_released":  # the code learned of an end after others
            continue
        step, type = f"{event['step']['kind']} {event['step']['name']}-{event['step']['count']}", event["type"]
        if step in ended:
            found.append(f"{type} of {step} at {event['seq']}, after its end at {ended[step]}")
        if type in ("step_started", "sleep_started", "wait_started"):
            starts[step] += 1
        elif type == "attempt_started":
            attempts[step] = attempts.get(step, 0) + 1
            if event["data"]["attempt"] != attempts[step]:
                found.append(f"attempt {event['data']['attempt']} of {step} is its {attempts[step]}.")
        elif type in ("step_completed", "step_errored", "sleep_completed", "wait_completed", "wait_timed_out"):
            ended[step] = event["seq"]
    found += [f"{step} started {number} times" for step, number in starts.items() if number != 1]
    found += [f"{step} never ended" for step in starts.keys() - ended.keys()]
    return found


def wrong_effects(journal: list[dict[str, Any]], ledger: list[dict[str, Any]]) -> list[str]:
    """What is not as it should be in the ledger of a finished workflow.

    An effect without a key happens once in each attempt that comes so far, and in no attempt that the journal does not
    have; one with a key happens once.
    """
    begun, completed = set(), set()
    for event in journal:
        if event["type"] == "attempt_started":
            begun.add((f"{event['step']['name']}-{event['step']['count']}", event["data"]["attempt"]))
        if event["type"] == "step_completed":
            completed.add(f"{event['step']['name']}-{event['step']['count']}")
    happened = Counter((effect["step"], effect["kind"], effect["attempt"]) for effect in ledger)
    found = [
        f"{kind} happened {number} times in attempt {attempt} of {step}"
        for (step, kind, attempt), number in happened.items()
        if number != 1
    ]
    found += [
        f"{kind} happened in attempt {attempt} of {step}, which never began"
        for step, kind, attempt in happened
        if (step, attempt) not in begun
    ]
    keyed = Counter(step for step, kind, _ in happened if kind == "email")
    found += [f"the receipt of {step} was sent {number} times" for step, number in keyed.items() if number != 1]
    charged = {step for step, kind, _ in happened if kind == "charge"}
    charges = {step for step in completed if step.startswith("charge ")}
    found += [f"{step} is completed, and nothing was charged" for step in charges - charged]
    return found
