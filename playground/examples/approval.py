"""Human approval

The run stops until somebody decides, for up to an hour here and up to a year if you like. While it waits it is one row
in the database: no process, no memory. The waiting bar carries its form; whatever you send is stored in the journal
before your code sees it. Press Kill worker first, if you like, and see that nothing is lost.

order: 5
group: "Waiting"
params: {"employee": "Lin", "item": "standing desk", "price": 480}
tasks: [{"do": "send-event", "type": "decision", "payload": {"approved": true, "by": "Grace"},
         "say": "Send the `decision` event from the waiting bar.",
         "seen": "The event is in the journal now: every replay gets it from there."},
        {"do": "send-event", "type": "decision", "payload": {"approved": false, "by": "Grace"},
         "match": {"approved": false},
         "say": "Run it again and refuse: send `{\"approved\": false}`.",
         "seen": "The other branch ran. Which one is decided by the journal, not by the moment of the replay."}]
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        request = event["payload"]

        @step.do("ask the manager")
        async def ask():
            print(f"may {request['employee']} have a {request['item']} for {request['price']}?")
            await asyncio.sleep(0.5)
            return {"sent_to": "manager"}

        @step.do("place order")
        async def place_order():
            print(f"ordering a {request['item']}")
            await asyncio.sleep(0.8)
            return {"order": "A-1001", "item": request["item"]}

        @step.do("send refusal")
        async def refuse():
            print(f"telling {request['employee']} that it will not be")
            await asyncio.sleep(0.4)
            return {"order": None}

        await ask()
        decision = await step.wait_for_event("manager decides", "decision", timeout="1 hour")

        if decision["payload"]["approved"]:
            return await place_order()
        return await refuse()
