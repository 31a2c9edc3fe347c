"""Crash and resume

A worker dies while it charges a card, and the order is shipped all the same. Press Kill worker while `charge card`
runs: that is a real SIGKILL, the process is gone, with everything it had in memory. A new worker calls `run` from the
top, reads `reserve stock` from the journal instead of reserving twice, starts attempt 2 of `charge card`, and goes on
as if nothing had happened. Kill it as often as you like.

order: 2
group: "Start here"
params: {"order": "B-2077", "items": ["lamp", "rug"]}
tasks: [{"do": "kill-worker", "during": "charge card", "say": "Press Kill worker while `charge card` runs.",
         "seen":
         "The process was gone, the journal was not: `reserve stock` was read from it, `charge card` began again."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        order = event["payload"]
        print(f"run starts at its first line, order {order['order']}")

        @step.do("reserve stock")
        async def reserve():
            for item in order["items"]:
                print(f"reserving one {item}")
                await asyncio.sleep(0.6)
            return {"reserved": len(order["items"])}

        @step.do("charge card")
        async def charge(ctx):
            for percent in range(0, 100, 10):
                print(f"attempt {ctx['attempt']}: talking to the bank, {percent} %")
                await asyncio.sleep(0.6)
            return {"receipt": f"R-{order['order']}", "attempt": ctx["attempt"]}

        @step.do("ship parcel")
        async def ship():
            print("the parcel is on its way")
            await asyncio.sleep(1)
            return {"tracking": "ZX-81"}

        reserved = await reserve()
        receipt = await charge()
        await step.sleep("wait for the courier", "4 seconds")
        return {**reserved, **receipt, **await ship()}
