"""A program whose outputs are all recorded: each is printed as a line when it is made, so that a test that kills the
program knows what had left it. `python gate_program.py DATABASE ID` runs an instance to its end, or goes on with it.
"""

import asyncio
import json
import os
import random
import signal
import sys
from typing import Any

from playground import Binding, CallContext, Code, Dispatcher, open_engine

SOURCE = """
import asyncio
from functools import partial
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        total = 0
        for number in range(40):
            async def quick():
                return number
            total += await step.do(f"quick {number}", quick)
            if number % 8 == 7:
                async def call():
                    return await self.env.OUT.note(number)
                total += await step.do(f"call {number}", call)
            if number % 16 == 15:
                await step.sleep(f"nap {number}", 20)
                parts = (step.do(f"part {number}-{part}", partial(int, part)) for part in range(10))
                total += sum(await asyncio.gather(*parts))
        return total
"""
KILLS = 3
EXPECTED = sum(range(40)) + sum(number for number in range(40) if number % 8 == 7) + 2 * sum(range(10))


def record(**output: Any) -> None:
    """Let something out."""
    sys.stdout.write(json.dumps(output) + "\n")
    sys.stdout.flush()


class Out(Binding):
    """What a tenant may call outside."""

    async def note(self, number: int, *, call: CallContext) -> int:
        """Record the call."""
        record(call=call.step.name if call.step else None, attempt=call.attempt, execution=call.execution)
        return number


async def main(database: str, id: str, victim: str = "", seed: str = "0") -> None:
    """Play the instance, and record all that is shown of it. A `victim`, worker or zygote, is killed by SIGKILL three
    times, each after a number of events that the seed gives.
    """
    pick = random.Random(int(seed))
    kills, next_kill = 0, pick.randrange(5, 60)
    async with open_engine(database, workers=2) as engine:
        dispatcher = Dispatcher(engine, lambda metadata: Code(SOURCE, env={"OUT": Out()}))
        instance = await dispatcher.wrap_binding({"tenant": "acme"}).create_once(id)
        async for event in instance.subscribe():
            record(seq=event.seq, type=event.type)
            if victim and kills < KILLS and event.seq >= next_kill:
                kills, next_kill = kills + 1, event.seq + pick.randrange(5, 60)
                if victim == "zygote" and engine.sandbox.zygote is not None:
                    os.kill(engine.sandbox.zygote, signal.SIGKILL)
                for execution in engine.executions() if victim == "worker" else ():
                    if execution.worker is not None:
                        execution.worker.kill()
        status = await instance.status()
        record(status=status.status, output=status.output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
