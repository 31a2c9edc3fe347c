"""A program whose outputs are all recorded: each is printed as a line when it is made, so that a test that kills the
program knows what had left it. `python gate_program.py DATABASE ID` runs an instance to its end, or goes on with it.
"""

import asyncio
import json
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


async def main(database: str, id: str) -> None:
    """Play the instance, and record all that is shown of it."""
    async with open_engine(database, workers=2) as engine:
        dispatcher = Dispatcher(engine, lambda metadata: Code(SOURCE, env={"OUT": Out()}))
        instance = await dispatcher.wrap_binding({"tenant": "acme"}).create_once(id)
        async for event in instance.subscribe():
            record(seq=event.seq, type=event.type)
        status = await instance.status()
        record(status=status.status, output=status.output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
