"""Announce a frame, say half of it and leave.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored WorkerLostRepeatedly
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.write(3, (1_000).to_bytes(4, "big") + b'{"op":"finish","out')
        os._exit(0)
