"""Say that steps of the journal were not called again, which it never held.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: steps that the journal does not hold
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
        say({"op": "diverged", "steps": [["do", "charge", 1]]})
        time.sleep(1_000)
