"""Fail with a computed delay that is longer than time.

Line: forged frames for another step or instance
End: errored LimitExceeded
"""

import json
import os
import time

from workers import WorkflowEntrypoint

CONFIG = {"retries": {"limit": 10_000, "delay": "computed", "backoff": "exponential"}, "timeout": 1_000}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        key, error = ["do", "late", 1], {"name": "E", "message": "m"}
        for frame in (
            {"op": "do", "step": key, "attempt": 1, "config": CONFIG},
            {
                "op": "fail",
                "step": key,
                "attempt": 1,
                "error": error,
                "retryable": True,
                "delay": 9_223_372_036_854_775_807,
            },
        ):
            data = json.dumps(frame).encode()
            os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
