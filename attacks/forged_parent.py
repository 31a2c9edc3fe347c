"""Begin a step inside one that never began.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: a step inside a step that never began
"""

import json
import os
import time

from workers import WorkflowEntrypoint


def say(frame):
    data = json.dumps(frame).encode()
    os.write(3, len(data).to_bytes(4, "big") + data)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        config = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1_000}
        say({"op": "do", "step": ["do", "inner", 1, ["do", "outer", 1]], "attempt": 1, "config": config})
        time.sleep(1_000)
