"""Wait for ever inside a step.

Line: sleeping for ever
End: errored WorkflowTimeoutError: attempt time: more than
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("wait", config={"retries": {"limit": 0, "delay": 0}})
        async def wait():
            while True:
                try:
                    await asyncio.sleep(1_000_000)
                except asyncio.CancelledError:
                    pass

        await wait()
