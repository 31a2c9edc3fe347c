"""Send more than a result may hold, past the checks inside.

Line: results whose serialisation misbehaves
End: errored LimitExceeded: output: more than
"""

import json
import socket
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = json.dumps({"op": "finish", "output": "x" * 1_200_000}).encode()
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        channel.sendall(len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
