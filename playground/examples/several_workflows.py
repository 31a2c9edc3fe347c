"""Several workflows, each by its name

An order runs two other workflows, `Invoice` and `Parcel`, and waits for them as a row. Each is a run with its own
journal, retries and page. Here they are classes of one file. A tenant deploys each under its name, with versions of its
own: a new `Invoice` changes nothing of the orders that are under way, and this code runs there as it is.

order: 22
group: "In the real world"
params: {"order": "A-1001", "price": 49}
tasks: [{"do": "finish",
         "say": "Open the children `invoice` and `parcel` from their rows: each is a run of its own.",
         "seen": "Three workflows, three journals: a row of the order's timeline holds a child's output."},
        {"do": "answer", "step": "tell the customer", "has": {"way": "pick it up from noon"}, "first": true,
         "say": "Let the customer fetch it: make `Parcel` in `run` a `Pickup`, and press Run.",
         "seen": "Another workflow took the part of `Parcel`: all that the order knew of it was the name."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):  # the order
    async def run(self, event, step):
        order = event["payload"]
        workflows = self.env.WORKFLOWS
        invoice = await workflows.run(order, name="invoice", workflow="Invoice")
        sent = await workflows.run(order, name="parcel", workflow="Parcel")

        @step.do("tell the customer")
        async def tell():
            print(f"invoice {invoice['number']}: {sent['way']}")
            return {"invoice": invoice["number"], "way": sent["way"]}

        return await tell()


class Invoice(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("write invoice")
        async def write():
            await asyncio.sleep(1)
            order = event["payload"]
            return {"number": f"I-{order['order']}", "total": order["price"]}

        return await write()


class Parcel(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.sleep("wait for the carrier", "2 seconds")
        return {"way": "it comes by parcel"}


class Pickup(WorkflowEntrypoint):
    async def run(self, event, step):
        return {"way": "pick it up from noon"}
