"""The workflows that bench/chaos.py and bench/chaos_nodes.py run: rounds of every kind, what they give, and what must
not be in their journals and ledgers.
"""

from collections import Counter
from typing import Any

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


def expected(kinds: list[str]) -> int:
    """What a workflow of these rounds gives."""
    total = asked = 0
    for number, kind in enumerate(kinds):
        parts = {
            "sequence": number * 10,
            "parallel": number * 4 + 6,
            "flaky": number,
            "refused": 1,
            "nap": 10,
            "expire": 100,
            "ask": asked,
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
    elif last["data"]["output"] != expected(kinds):
        found.append(f"gave {last['data']['output']}, not {expected(kinds)}")
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
