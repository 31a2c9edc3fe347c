"""Asking a service

`fetch` asks a host that is allowed. The request is made outside of the worker; the step's row says how it went. This
service is answered by the playground itself, and it fails as services do: with 503, and a retry gets an answer. The
order is worse: it was made, and only its answer said 503. Asked again, the service takes it for another order, unless
both requests have the same `Idempotency-Key`.

order: 21
group: "In the real world"
params: {"city": "Oslo", "item": "umbrella"}
tasks: [{"do": "answer", "step": "count orders", "has": {"orders": 2},
         "say": "Press Run, and open `place order`: it asked twice.",
         "seen": "Two orders: the first request had been carried out when it seemed to fail."},
        {"do": "answer", "step": "count orders", "has": {"orders": 1}, "first": true,
         "say": "Uncomment the line with `Idempotency-Key`, and press Run.",
         "seen": "Asked twice under one key, and ordered once: the service knew the second request."}]
"""

import json

from workers import WorkflowEntrypoint, fetch

SERVICE = "https://playground.example"
PATIENT = {"retries": {"limit": 3, "delay": "1 second"}}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        wanted, run = event["payload"], event["instanceId"]

        @step.do("look up weather", config=PATIENT)
        async def weather():
            response = await fetch(f"{SERVICE}/weather/{wanted['city']}?for={run}")
            response.raise_for_status()
            return await response.json()

        @step.do("place order", config=PATIENT)
        async def order():
            headers = {"Content-Type": "application/json"}
            # headers["Idempotency-Key"] = f"umbrella of {run}"
            body = json.dumps({"customer": run, "item": wanted["item"]})
            url = f"{SERVICE}/orders"
            response = await fetch(url, method="POST", headers=headers, body=body)
            response.raise_for_status()
            return await response.json()

        @step.do("count orders")
        async def count():
            response = await fetch(f"{SERVICE}/orders/{run}")
            return {"orders": len((await response.json())["orders"])}

        sky = await weather()
        print(f"{sky['celsius']} degrees in {sky['city']}")
        await order()
        return await count()
