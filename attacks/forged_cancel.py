"""Give up a wait that was never begun, so that its event goes elsewhere.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: the worker gave up what it had not begun
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
        say({"op": "cancel", "step": ["wait", "approval", 1]})
        time.sleep(1_000)
