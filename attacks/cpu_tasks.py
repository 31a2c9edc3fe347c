"""Begin a million tasks at once, each of which wakes all the others.

Line: busy loops
End: errored MemoryError|LimitExceeded|WorkerLostRepeatedly
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        bell = asyncio.Condition()

        async def wait():
            async with bell:
                while True:
                    await bell.wait()
                    bell.notify_all()

        tasks = [asyncio.ensure_future(wait()) for _ in range(1_000_000)]
        await asyncio.sleep(0)
        async with bell:
            bell.notify_all()
        await asyncio.gather(*tasks)
