"""Announce a frame, say half of it and wait for ever.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: not answering: nothing was heard of the worker for
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.write(3, (1_000).to_bytes(4, "big") + b'{"op":"finish","out')
        time.sleep(1_000)
