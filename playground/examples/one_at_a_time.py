"""One at a time: flow control

Three orders of one customer arrive at once, and each is a run of its own. They share a key, and of a key only one may
run: the others are held as rows of the database, and the page of each says what it waits for. Whatever dies, the next
one starts when the one before has ended. A workflow's own page can say the same for everything that starts it.

order: 20
group: "In the real world"
params: {"orders": [{"id": 1, "customer": "ada"}, {"id": 2, "customer": "ada"}, {"id": 3, "customer": "ada"}]}
tasks: [{"do": "answer", "step": "look back", "has": {"most_at_once": 1},
         "say": "Open a child that is queued from its row, and read what it waits for.",
         "seen": "One key, one at a time: no two orders of this customer were charged at once."},
        {"do": "answer", "step": "look back", "has": {"most_at_once": 2}, "first": true,
         "say": "Change `AT_ONCE` to 2 and run it again.",
         "seen": "Two had begun at once, and the third waited for the first that ended."}]
"""

import asyncio
import time

from workers import WorkflowEntrypoint

AT_ONCE = 1  # orders of one customer


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        if "order" in event["payload"]:
            return await self.charge(event["payload"]["order"], step)

        charged = await asyncio.gather(
            *(
                self.env.WORKFLOWS.run(
                    {"order": order},
                    name=f"order {order['id']}",
                    key=order["customer"],
                    limits={"concurrency_per_key": AT_ONCE},
                )
                for order in event["payload"]["orders"]
            )
        )

        @step.do("look back")
        async def look_back():
            begins = [each["began"] for each in charged]
            running = [sum(it["began"] <= at < it["ended"] for it in charged) for at in begins]
            return {"charged": len(charged), "most_at_once": max(running)}

        return await look_back()

    async def charge(self, order, step):
        @step.do("charge")
        async def charge():
            began = time.time()
            print(f"charging order {order['id']} of {order['customer']}")
            await asyncio.sleep(2)
            return {"began": began, "ended": time.time()}

        return await charge()
