"""Tools from elsewhere

`env.MCP` calls the tools of a server that speaks the Model Context Protocol, and waits for them durably. This server,
a courier, belongs to the playground; a tenant brings its own. Its tools answer in three ways: `quote` at once, `book`
when a person has filled in its form, `deliver` when it is done. Each request is a step. Between two looks at what is
not done yet the run sleeps, and whichever worker goes on asks for the same delivery.

order: 24
group: "In the real world"
params: {"to": "Lisbon"}
tasks: [{"do": "send-event", "type": "answer-book", "payload": {"agree": true},
         "say": "The courier asks what it costs: answer its form from the waiting bar.",
         "seen": "Your answer went to the courier, and the call of its tool went on."},
        {"do": "kill-worker", "during": "deliver works",
         "say": "Press Kill worker during `deliver works`, while the parcel is on its way.",
         "seen": "The next worker read the task's id from the journal: the parcel was sent once."}]
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        courier = self.env.MCP
        to = event["payload"]["to"]

        for tool in await courier.list_tools():
            print(f"{tool['name']}: {tool['description']}")

        quoted = await courier.call_tool("quote", {"to": to})
        print(f"it costs {quoted['structuredContent']['price']}")

        booked = await courier.call_tool("book", {"to": to})
        booking = booked["structuredContent"]["booking"]
        if booking is None:
            return {"delivered": False, "why": "nobody agreed"}

        brought = await courier.call_tool("deliver", {"booking": booking})
        return brought["structuredContent"]
