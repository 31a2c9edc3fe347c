"""Effects that happen once

A result is committed after the callback returns; what the callback did to the world is not part of that. `charge card` has
no key: kill the worker while it runs, and the next attempt charges again. `send receipt` names a `key`, so a second attempt
gets the first mail back instead of sending another. Then give the charge `key=event["instanceId"]` and try again.

order: 13
params: {"customer": "ada@example.com", "amount": 49}
task: {"do": "kill-worker", "during": "charge card", "say": "Press Kill worker while `charge card` runs."}
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        order = event["payload"]

        @step.do("charge card")
        async def charge():
            receipt = await self.env.EFFECTS.charge(order["amount"])
            print(f"charged {order['amount']}: {receipt['id']}")
            await asyncio.sleep(3)  # charged, and not committed yet: kill the worker now
            return receipt["amount"]

        @step.do("send receipt")
        async def send():
            mail = await self.env.EFFECTS.email(
                order["customer"], "Your receipt", key=f"receipt of {event['instanceId']}"
            )
            print(f"sent {mail['id']}")
            await asyncio.sleep(2)
            return mail["to"]

        return {"charged": await charge(), "receipt_to": await send()}
