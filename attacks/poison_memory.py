"""Write over the interpreter's memory that it shares with the fork server, copy on write: what is written must stay its
own.

Line: poison left for the next tenant
End: complete "overwritten"
"""

import ctypes
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"finish","output":"overwritten"}'
        frame = len(data).to_bytes(4, "big") + data
        for text in ("TenantWorkflow", "greet", "playground.worker.main", "finish"):
            offset = ctypes.sizeof(ctypes.c_ssize_t) * 5
            ctypes.memset(id(text) + offset, ord("z"), len(text))
        os.write(3, frame)
        time.sleep(1_000)
