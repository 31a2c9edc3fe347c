"""Report the outcome of a step that never began.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: an outcome for an attempt that never began
"""

import json
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = json.dumps({"op": "done", "step": ["do", "never", 1], "attempt": 1, "value": "forged"}).encode()
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
