"""Effects that happen once

A result is committed after the callback returns; what the callback did to the world is not part of that. `charge card`
has no key: kill the worker after it has charged, and the next attempt charges again, as the Effects tab shows. `send
receipt` names a `key`, so a second attempt gets the first mail back instead of sending another.

order: 13
group: "In the real world"
params: {"customer": "ada@example.com", "amount": 49}
tasks: [{"do": "kill-worker", "during": "charge card",
         "say": "Press Kill worker while `charge card` runs: it has charged already, and committed nothing.",
         "seen": "See the Effects tab: the journal cannot know what happened outside of it."},
        {"do": "answer", "step": "charge card", "has": {"repeated": true}, "first": true,
         "say": "Give the charge `key=event[\"instanceId\"]`, press Run, and kill the worker while `charge card` runs.",
         "seen": "Killed as before, and charged once: the second attempt got the first receipt back."}]
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
            await asyncio.sleep(4)  # charged, and not committed yet: kill the worker now
            return receipt

        @step.do("send receipt")
        async def send():
            mail = await self.env.EFFECTS.email(
                order["customer"], "Your receipt", key=f"receipt of {event['instanceId']}"
            )
            print(f"sent {mail['id']}")
            await asyncio.sleep(2)
            return mail["to"]

        receipt = await charge()
        return {"charged": receipt["amount"], "receipt_to": await send()}
