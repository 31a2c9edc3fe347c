"""Say that handlers were collected when nobody asked.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: handlers collected out of turn
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"collected"}'
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
