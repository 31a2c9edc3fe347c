"""Begin the same step twice.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: the worker started a step twice or out of place
"""

import json
import os
import time

from workers import WorkflowEntrypoint

CONFIG = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1_000}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = json.dumps({"op": "do", "step": ["do", "twice", 1], "attempt": 1, "config": CONFIG}).encode()
        os.write(3, (len(data).to_bytes(4, "big") + data) * 2)
        time.sleep(1_000)
