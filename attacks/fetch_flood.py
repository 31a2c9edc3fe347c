"""Ask by fetch without end, hundreds at once, and go on when it is refused.

Line: requests that are let out lead nowhere inside
End: errored LimitExceeded
"""

import asyncio

from workers import WorkflowEntrypoint, fetch


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        # An attempt that a busy machine ends as too long is no end of the attack.
        @step.do("flood", config={"retries": {"limit": 100, "delay": 0, "backoff": "constant"}})
        async def flood():
            async def one():
                while True:
                    try:
                        await fetch("https://playground.example/orders", method="POST", body="x" * 100_000)
                    except Exception:
                        await asyncio.sleep(0)

            await asyncio.gather(*(one() for _ in range(300)))

        await flood()
