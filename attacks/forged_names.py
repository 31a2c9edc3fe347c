"""Begin a step whose name is no name: control characters, which the checks inside would refuse.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: a frame is not what the protocol allows
"""

import json
import os
import time

from workers import WorkflowEntrypoint

CONFIG = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1_000}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = json.dumps({"op": "do", "step": ["do", "a\x00\x1b[2J\nb", 1], "attempt": 1, "config": CONFIG}).encode()
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
