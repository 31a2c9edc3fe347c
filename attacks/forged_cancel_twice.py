"""Give one sleep up again and again.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: the worker gave up what it had not begun, or twice
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
        say({"op": "sleep", "step": ["sleep", "nap", 1], "duration": 60_000})
        for _ in range(10_000):
            say({"op": "cancel", "step": ["sleep", "nap", 1]})
        time.sleep(1_000)
