"""Fan-out and fan-in

One step per city, all running at the same time, then one step that needs every result. `asyncio.gather` is all it
takes. Oslo fails once and is tried again by itself; the others do not notice. A worker that is killed in the middle
takes only the cities with it that have not answered.

order: 8
group: "Shapes"
params: {"cities": {"Lisbon": 24, "Cairo": 33, "Oslo": 11, "Quito": 18, "Osaka": 27}}
tasks: [{"do": "kill-worker", "during": "measure Osaka", "read": 1,
         "say": "Press Kill worker when some cities have answered and `measure Osaka` still runs.",
         "seen": "The cities that had answered were read from the journal, only the others were asked again."}]
"""

import asyncio

from workers import WorkflowEntrypoint

QUICKLY = {"retries": {"limit": 3, "delay": "1 second", "backoff": "constant"}}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        cities = event["payload"]["cities"]

        async def measure(city, seconds):
            @step.do(f"measure {city}", config=QUICKLY)
            async def thermometer(ctx):
                await asyncio.sleep(seconds)
                if city == "Oslo" and ctx["attempt"] == 1:
                    raise TimeoutError("no answer from Oslo")
                print(f"{city}: {cities[city]} degrees")
                return {"city": city, "degrees": cities[city]}

            return await thermometer()

        requests = [measure(city, 1 + 1.2 * place) for place, city in enumerate(cities)]
        readings = await asyncio.gather(*requests)

        @step.do("find the warmest")
        async def warmest():
            await asyncio.sleep(0.5)
            return max(readings, key=lambda reading: reading["degrees"])

        return {"measured": len(readings), "warmest": await warmest()}
