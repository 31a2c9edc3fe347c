"""Dependencies

A step that has another step's name as a parameter gets its result, and runs it first if need be: `report` is all that
is asked for here. With `concurrent=True` its dependencies run side by side, and `load`, which both of them need, runs
once.

order: 9
group: "Shapes"
params: {"numbers": [3, 9, 4, -1, 5, 9, 2, 6]}
tasks: [{"do": "step", "name": "outliers", "first": true,
         "say": "Copy the step `clean`, call the copy `outliers`, name it as a parameter of `report`, and press Run.",
         "seen": "`outliers` ran because `report` names it, and `load` still ran once."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do()
        async def load():
            print("loading the measurements")
            await asyncio.sleep(0.8)
            return event["payload"]["numbers"]

        @step.do()
        async def clean(load):
            await asyncio.sleep(1.2)
            return [number for number in load if number >= 0]

        @step.do()
        async def chart(load):
            await asyncio.sleep(2)
            return ["#" * max(number, 0) for number in load]

        @step.do(concurrent=True)
        async def report(clean, chart):
            print(f"{len(clean)} good measurements")
            await asyncio.sleep(0.6)
            return {"mean": round(sum(clean) / len(clean), 2), "chart": chart}

        return await report()
