"""Hello, durable world

Two steps and a sleep. The result of each step is in the journal before anything outside your code can see it, so a step
that is done is never run again. Press Run, then Kill worker while `engrave it` runs: a new worker reads `compose
greeting` from the journal, and begins `engrave it` again.

order: 1
group: "Start here"
params: {"name": "Ada", "seconds": 8}
tasks: [{"do": "kill-worker", "during": "engrave it", "read": 1,
         "say": "Press Kill worker while `engrave it` runs: it takes 8 seconds.",
         "seen": "`compose greeting` was read from the journal and did not run again; `engrave it` began again."},
        {"do": "finish", "params": "changed", "first": true, "say": "Change `name` in the params and press Run.",
         "seen": "Another run with a journal of its own; the first one is still there under its link."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        name = event["payload"].get("name", "world")
        seconds = event["payload"].get("seconds", 8)

        @step.do("compose greeting")
        async def compose():
            print(f"thinking of something to say to {name}")
            await asyncio.sleep(0.3)
            return f"Hello, {name}!"

        greeting = await compose()

        @step.do("engrave it")
        async def engrave():
            for letter in greeting:
                print(f"engraving {letter}")
                await asyncio.sleep(seconds / len(greeting))
            return f"{greeting} Durably yours."

        engraved = await engrave()

        # Nothing runs during a durable sleep. A long one would not even keep a process.
        await step.sleep("let it dry", "3 seconds")

        return {"greeting": engraved}
