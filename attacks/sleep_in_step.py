"""Wait for ever inside a step.

Line: sleeping for ever
End: errored LimitExceeded: attempt time: more than
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("wait")
        async def wait():
            while True:
                try:
                    await asyncio.sleep(1_000_000)
                except asyncio.CancelledError:
                    pass

        await wait()
