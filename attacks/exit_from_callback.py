"""End by an exception from a callback of the event loop, past `run`.

Line: exits without result
End: errored SystemExit|KeyboardInterrupt
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        def leave():
            raise SystemExit(3)

        asyncio.get_running_loop().call_soon(leave)
        await asyncio.sleep(1_000)
