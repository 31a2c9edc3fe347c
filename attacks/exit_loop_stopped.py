"""Stop and close the event loop it is run by.

Line: exits without result
End: errored LimitExceeded|WorkerLostRepeatedly|RuntimeError
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        loop.call_soon(loop.close)
        await asyncio.sleep(1_000)
