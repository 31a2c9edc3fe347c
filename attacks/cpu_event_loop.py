"""Keep the event loop turning for ever with callbacks that add callbacks, so that it is never idle and never silent
inside.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def spin():
            while True:
                await asyncio.sleep(0)

        await asyncio.gather(*(spin() for _ in range(100)))
