"""Say a large frame one byte at a time, so that it is always about to end.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: not answering: nothing was heard of the worker for
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.write(3, (1_000_000).to_bytes(4, "big"))
        while True:
            os.write(3, b"[")
            time.sleep(0.05)
