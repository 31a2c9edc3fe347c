"""Fan-out and fan-in

One step per city, all running at the same time, then one step that needs every result. `asyncio.gather` is all it takes.
Oslo fails once and is tried again by itself; the others do not notice. Press Kill worker in the middle: the cities that
have answered are read from the journal, only the others are asked again.

order: 6
params: {"cities": {"Lisbon": 24, "Cairo": 33, "Oslo": 11, "Quito": 18, "Osaka": 27}}
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

        requests = [measure(city, 0.8 + 0.6 * place) for place, city in enumerate(cities)]
        readings = await asyncio.gather(*requests)

        @step.do("find the warmest")
        async def warmest():
            await asyncio.sleep(0.5)
            return max(readings, key=lambda reading: reading["degrees"])

        return {"measured": len(readings), "warmest": await warmest()}
