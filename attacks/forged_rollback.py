"""Report on rollbacks when none is under way.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol
"""

import json
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for frame in (
            {"op": "done", "step": ["do", "x", 1], "attempt": 1, "rollback": True},
            {"op": "missing", "step": ["do", "x", 1], "attempt": 1},
            {"op": "collected"},
        ):
            data = json.dumps(frame).encode()
            os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
