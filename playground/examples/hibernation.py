"""Sleep and hibernation

A run that sleeps for long needs no worker: no process, no memory, only a row with a due time, so a million of these
could sleep for a year. A short sleep keeps its worker at hand; one longer than the idle grace (10 seconds unless set
otherwise) gives it up. Watch the worker go at the long sleep. The next execution replays `run` from the top: its dimmed
lines in the logs.

order: 4
group: "Start here"
params: {"plant": "fern"}
tasks: [{"do": "wake", "step": "let it grow", "hibernated": true,
         "say": "When the worker is gone at `let it grow`, press Wake now at the end of its bar.",
         "seen": "A new worker read what was done and went on after the sleep, which is marked virtual for ever."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        plant = event["payload"]["plant"]
        print(f"run starts at its first line, for the {plant}")

        @step.do("water")
        async def water():
            print(f"watering the {plant}")
            await asyncio.sleep(0.5)
            return {"litres": 0.4}

        @step.do("look again")
        async def look():
            await asyncio.sleep(0.5)
            return f"the {plant} has a new leaf"

        given = await water()
        await step.sleep("let it drain", "3 seconds")
        await step.sleep("let it grow", "30 seconds")

        return {**given, "seen": await look()}
