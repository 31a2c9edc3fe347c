"""Say by hand that it has finished, and go on working and talking.

Line: outlives its result
End: complete "by hand"
"""

import json
import os

from workers import WorkflowEntrypoint


def send(frame):
    data = json.dumps(frame).encode()
    os.write(3, len(data).to_bytes(4, "big") + data)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        send({"op": "finish", "output": "by hand"})
        while True:
            try:
                send({"op": "finish", "output": "again"})
                send({"op": "log", "stream": "stdout", "text": "still here"})
            except OSError:
                pass
