"""Finish with a number that is none.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame is not what the protocol allows
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"finish","output":[NaN,Infinity,-Infinity,1e400]}'
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
