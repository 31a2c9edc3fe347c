"""Two tenants, one dispatcher

Run here, this belongs to nobody. With a key from the operator (`playground tenant-key create acme`) choose Deploy as tenant,
change the greeting, and deploy it for a second one: one server runs both, and routes every run, also after a long sleep, to
its own tenant's code. Ids, keys in `env.KV` and turns are apart, and a run stays on the version that it started with.

order: 14
params: {"name": "Ada"}
"""

from workers import WorkflowEntrypoint

GREETING = "Hello"  # the other tenant's customers may be greeted otherwise


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        name = event["payload"]["name"]

        @step.do("count the visit")
        async def count():
            visits = await self.env.KV.get(f"visits/{name}", 0) + 1
            await self.env.KV.put(f"visits/{name}", visits)  # committed with the step
            return visits

        visits = await count()
        await step.sleep("let the other tenant in", "2 seconds")

        @step.do("greet")
        async def greet():
            return f"{GREETING}, {name}! This is visit {visits}."

        return {"greeting": await greet()}
