"""Report the outcome of an attempt that is still to come.

Line: forged frames for another step or instance
End: errored LimitExceeded: protocol: an outcome for an attempt that never began
"""

import json
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("real")
        async def real():
            data = json.dumps({"op": "done", "step": ["do", "real", 1], "attempt": 7, "value": "forged"}).encode()
            os.write(3, len(data).to_bytes(4, "big") + data)
            time.sleep(1_000)

        await real()
