"""Name another instance, tenant and execution in every field that might be looked at.

Line: forged frames for another step or instance
End: complete "mine alone"
"""

import json
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        elsewhere = {
            "instance": "victim",
            "id": "victim",
            "key": 1,
            "tenant": "other",
            "execution": 1,
            "owner": "local",
        }
        data = json.dumps({**elsewhere, "op": "finish", "output": "mine alone"}).encode()
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
