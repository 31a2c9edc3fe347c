"""A tool that takes a day

An agent calls this as a tool: its docstring is the description, `Refund` says what it takes. Give your agent the
address `/mcp` of this site and have it run the example `tool-call`, or press Run and be the agent yourself. The call
outlives its worker, the server and the agent's own connection; it asks a person, and answers when the person has.
Deployed for a tenant, each workflow is such a tool without a line for it.

order: 19
group: "In the real world"
params: {"order": "B-2077", "amount": 49}
tasks: [{"do": "kill-worker", "during": "look at the order",
         "say": "Press Kill worker while `look at the order` runs.",
         "seen": "Whoever called the tool noticed nothing: another worker went on."},
        {"do": "send-event", "type": "approved", "payload": {"yes": true, "by": "Grace"},
         "say": "Be the person who decides: send `approved` from the waiting bar.",
         "seen": "The answer went to the run, and the run's output to whoever had called."}]
"""

import asyncio
from typing import TypedDict

from workers import WorkflowEntrypoint, WorkflowEvent


class Refund(TypedDict):
    order: str
    amount: int


class TenantWorkflow(WorkflowEntrypoint):
    """Refund an order, once a person has agreed."""

    async def run(self, event: WorkflowEvent[Refund], step):
        refund = event["payload"]

        @step.do("look at the order")
        async def look():
            print(f"what was paid for {refund['order']}?")
            await asyncio.sleep(2)
            return {"paid": 120}

        @step.do("pay back")
        async def pay_back():
            print(f"{refund['amount']} back for {refund['order']}")
            await asyncio.sleep(0.6)
            return {"refunded": refund["amount"]}

        order = await look()
        if refund["amount"] > order["paid"]:
            return {"refunded": 0, "why": f"only {order['paid']} was paid"}

        answer = await step.wait_for_event("a person agrees", "approved", timeout="1 day")
        if not answer["payload"]["yes"]:
            return {"refunded": 0, "why": "it was not approved"}
        return await pay_back()
