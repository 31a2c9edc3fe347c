"""An agent writes a plan as code; it runs isolated and durable, and its last step waits until a person says yes.

./run python -m playground.examples.embedding.generated_plan "standing desk"
"""

import asyncio
import sys
from typing import Any

from playground import Binding, Code, Dispatcher, Effects, open_engine

PLAN = """
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("find offers", config={"retries": {"limit": 3, "delay": "1 second"}})
        async def offers():
            return await self.env.TOOLS.search(WANTED)

        @step.do("choose")
        async def choose(offers):
            return min(offers, key=lambda offer: offer["price"])

        best = await choose()
        print(f"I would take {best['name']} at {best['price']}")
        approval = await step.wait_for_event("a person approves", "approval", timeout="7 days")
        if not approval["payload"]["approved"]:
            return {"ordered": None}

        @step.do("order")
        async def order():
            return await self.env.EFFECTS.charge(best["price"], key="the order")

        return {"ordered": best["name"], "receipt": (await order())["id"]}
"""


class Tools(Binding):
    """What the agent's plans may use: this, and nothing else of the machine they run on."""

    async def search(self, query: str) -> list[dict[str, Any]]:
        return [{"name": f"{query} by Fjord", "price": 480}, {"name": f"{query} by Birch", "price": 310}]


def write_plan(goal: str) -> str:
    """Stands for the model: it answers with source text."""
    return PLAN.replace("WANTED", repr(goal))


async def main(goal: str, database: str = "sqlite:///plans.db") -> Any:
    """Let a plan be written, look at it, run it, and ask before its last step. Gives its output.

    The plan is its own metadata, so that it is still there when this program is stopped at the question and started
    again.
    """
    plan = write_plan(goal)
    async with open_engine(database) as engine:
        agent = Dispatcher(
            engine, lambda metadata: Code(metadata["plan"], env={"TOOLS": Tools(), "EFFECTS": Effects()})
        )
        checked = await engine.check(plan)
        print(plan, *(f"line {it['line']}: {it['message']}" for it in checked.diagnostics), sep="\n")
        run = await agent.wrap_binding({"plan": plan}).create_once("run")
        going_on = False  # with a line that came in pieces
        async for event in run.subscribe():
            if event.type == "log":
                text, partial = event.data["text"], event.data.get("partial", False)
                print(text if going_on else f"> {text}", end="" if partial else "\n", flush=True)
                going_on = partial
            elif event.type == "step_completed":
                print("done:", event.step)
            elif event.type == "workflow_waiting" and (await run.status()).status == "waiting":
                answer = await asyncio.to_thread(input, "Approve? [y/N] ")
                await run.send_event("approval", {"approved": answer.strip().lower() == "y"})
        return (await run.status()).output


if __name__ == "__main__":
    print(asyncio.run(main(" ".join(sys.argv[1:]) or "standing desk")))
