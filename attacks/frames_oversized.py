"""Announce a frame of four gigabytes.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame has 4,294,967,295 bytes
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.write(3, b"\xff\xff\xff\xff")
        time.sleep(1_000)
