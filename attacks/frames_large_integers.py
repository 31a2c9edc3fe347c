"""Finish with integers past 64 bits, which other readers of JSON would round or refuse.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: complete {"a": [123456789012345678901234567890, -123456789012345678901234567890]}
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"finish","output":{"a":[123456789012345678901234567890,-123456789012345678901234567890]}}'
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
