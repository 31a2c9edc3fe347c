"""Two tenants, one dispatcher

One server runs the code of many tenants, each apart from the others. Each run stays on the code it began with, whatever
is deployed meanwhile, and finds it again after any sleep; ids, keys in `env.KV` and turns are apart. Run here, this
belongs to nobody. With a key from the operator (`playground tenant-key create acme`), Share has Deploy as tenant, and
`/tenants` shows its runs.

order: 14
group: "In the real world"
params: {"name": "Ada"}
tasks: [{"do": "finish", "say": "Watch the first tenant greet its visitor.",
         "seen": "One tenant's code, and one visit counted where no other tenant can look."},
        {"do": "answer", "step": "greet", "differs": "Hello, Ada! This is visit 1.", "first": true,
         "say": "Be the second tenant: change `GREETING` and press Run while the first one sleeps.",
         "seen": "Two codes under one roof: the first run kept its greeting, and the visits were counted apart."}]
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
        await step.sleep("let the other tenant in", "6 seconds")

        @step.do("greet")
        async def greet():
            return f"{GREETING}, {name}! This is visit {visits}."

        return {"greeting": await greet()}
