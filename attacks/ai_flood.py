"""Have built-in models speak without end, hundreds at once, each into a stream, and go on when they are refused.

Line: models answer within limits
End: errored LimitExceeded
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        # An attempt that a busy machine ends as too long is no end of the attack.
        @step.do("flood", config={"retries": {"limit": 100, "delay": 0, "backoff": "constant"}})
        async def flood():
            async def one(number):
                inputs = {"prompt": "word " * 300, "pace_ms": 0}
                while True:
                    try:
                        await self.env.AI.run("@playground/echo", inputs, {"stream": f"flood{number}"})
                    except Exception:
                        await asyncio.sleep(0)

            await asyncio.gather(*(one(number) for number in range(300)))

        await flood()
