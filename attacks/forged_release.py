"""Say when another step was seen.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: the worker released what it had not begun
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
        say({"op": "released", "step": ["do", "charge", 1], "clock": 2**53})
        time.sleep(1_000)
