"""Collect answers of a megabyte each by failing with large errors, and never read one.

Line: a worker that never reads
End: errored LimitExceeded
"""

import json
import socket
import time

from workers import WorkflowEntrypoint

CONFIG = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1_000}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        error = {"name": "E", "message": "m", "args": "x" * 1_000_000}
        for count in range(1, 200):
            key = ["do", "large", count]
            for frame in (
                {"op": "do", "step": key, "attempt": 1, "config": CONFIG},
                {"op": "fail", "step": key, "attempt": 1, "error": error, "retryable": False},
            ):
                data = json.dumps(frame).encode()
                channel.sendall(len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
