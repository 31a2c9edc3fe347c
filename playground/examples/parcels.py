"""Children, and the first of two events

Each parcel is packed by a run of its own: a child, with its own page, journal and worker, that runs this very code with
other params. The order waits for all of them as one row, and then for one of two events: whichever comes first. Kill
the order's worker while they pack, if you like: each child is found again, and none is started twice.

order: 16
group: "In the real world"
params: {"parcels": ["lamp", "rug", "shelf"]}
tasks: [{"do": "send-event", "type": "confirmed", "payload": {"by": "Ada"},
         "say": "Open a child from its row, come back, and press Send confirmed on the waiting bar.",
         "seen": "Its type said which of the two had come, and every replay reads that from the journal."},
        {"do": "send-event", "type": "cancelled", "payload": {"by": "Ada"},
         "say": "Run it again and press Send cancelled.",
         "seen": "The other branch ran. The parcels stay packed: a child's result is kept like any other."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        parcel = event["payload"].get("parcel")
        if parcel is not None:
            return await self.pack(parcel, step)

        parcels = event["payload"]["parcels"]
        packed = await asyncio.gather(
            *(self.env.WORKFLOWS.run({"parcel": each}, name=f"pack {each}") for each in parcels)
        )

        reply = await step.wait_for_event("reply", ["confirmed", "cancelled"], timeout="1 hour")
        if reply["type"] == "cancelled":
            return {"sent": None, "unpack": packed}

        @step.do("send")
        async def send():
            print(f"sending {len(packed)} parcels to {reply['payload']['by']}")
            await asyncio.sleep(0.5)
            return {"sent": len(packed), "grams": sum(each["grams"] for each in packed)}

        return await send()

    async def pack(self, parcel, step):
        @step.do("wrap")
        async def wrap():
            print(f"wrapping the {parcel}")
            await asyncio.sleep(1.5)
            return {"parcel": parcel, "grams": 900 + 100 * len(parcel)}

        wrapped = await wrap()
        await step.sleep("let the glue dry", "2 seconds")
        return wrapped
