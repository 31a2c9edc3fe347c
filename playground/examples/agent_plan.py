"""AI agent plan

A model makes a plan, its tools run in parallel, a second call sums up, and a person approves before anything is sent.
Model calls are slow and paid for, so each is a step: one that has answered is never asked again, whatever happens to
the worker. The model is played by canned answers here.

order: 10
group: "Shapes"
params: {"question": "Is Saturday good for a picnic?"}
tasks: [{"do": "kill-worker", "during": "use calendar", "read": 1,
         "say": "Press Kill worker while `use calendar` runs.",
         "seen": "The plan was not paid for twice: it was read from the journal."},
        {"do": "send-event", "type": "approval", "payload": {"approved": true},
         "say": "Read the answer in the step `write answer`, then send the `approval`.",
         "seen": "A person had the last word, and waiting for one cost nothing."}]
"""

import asyncio

from workers import WorkflowEntrypoint

PLAN = [
    {"tool": "weather", "ask": "the forecast for Saturday"},
    {"tool": "calendar", "ask": "what is on"},
    {"tool": "map", "ask": "parks nearby"},
]
ANSWERS = {"weather": "sunny, 24 degrees", "calendar": "free from 11", "map": "Elm Park, 800 m"}
ONCE_MORE = {"retries": {"limit": 2, "delay": "1 second"}, "timeout": "30 seconds"}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        question = event["payload"]["question"]

        @step.do("make plan", config=ONCE_MORE)
        async def make_plan():
            print(f"asking the model for a plan: {question}")
            await asyncio.sleep(1.2)
            return PLAN

        async def use(call):
            @step.do(f"use {call['tool']}", config=ONCE_MORE)
            async def tool(ctx):
                print(f"{call['tool']}: {call['ask']}?")
                await asyncio.sleep(2.5)
                if call["tool"] == "calendar" and ctx["attempt"] == 1:
                    raise ConnectionError("the calendar did not answer")
                return {call["tool"]: ANSWERS[call["tool"]]}

            return await tool()

        plan = await make_plan()
        findings = await asyncio.gather(*(use(call) for call in plan))

        @step.do("write answer", config=ONCE_MORE)
        async def write_answer():
            await asyncio.sleep(1)
            facts = [fact for found in findings for fact in found.values()]
            return f"Yes: {', '.join(facts)}."

        answer = await write_answer()
        approval = await step.wait_for_event("approve the answer", "approval", timeout="1 day")
        if approval["payload"]["approved"]:
            return {"answer": answer}
        return {"answer": None}
