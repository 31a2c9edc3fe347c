"""Give up a step fifty steps deep in others.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: a frame
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
        key = None
        for _ in range(50):
            key = ["do", "inner", 1, key] if key else ["do", "inner", 1]
        say({"op": "cancel", "step": key})
        time.sleep(1_000)
