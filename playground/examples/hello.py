"""Hello, durable world

Two steps with a sleep between them. The result of each step is in the journal before anything outside your code can see
it, so a step that is done is never run again. Press Run and watch the steps light up, from left to right.

order: 1
group: "Start here"
params: {"name": "Ada"}
tasks: [{"do": "finish", "say": "Watch it to its end.",
         "seen": "Each step ran once, and what it returned is in the journal."},
        {"do": "finish", "params": "changed", "first": true, "say": "Change `name` in the params and press Run.",
         "seen": "Another run with a journal of its own; the first one is still there under its link."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        name = event["payload"].get("name", "world")

        @step.do("compose greeting")
        async def compose():
            print(f"thinking of something to say to {name}")
            await asyncio.sleep(0.6)
            return f"Hello, {name}!"

        greeting = await compose()

        # Nothing runs during a durable sleep. A long one would not even keep a process.
        await step.sleep("pause for effect", "3 seconds")

        @step.do("sign")
        async def sign():
            print("signing the greeting")
            await asyncio.sleep(0.4)
            return f"{greeting} Durably yours."

        return {"greeting": await sign()}
