"""Wait for a future that nothing will ever resolve.

Line: sleeping for ever
End: errored Stuck
"""

import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await asyncio.get_running_loop().create_future()
