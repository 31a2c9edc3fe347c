"""Call bindings that it was not given, very many times and with wild arguments.

Line: forged frames for another step or instance
End: errored LimitExceeded
"""

import json
import socket

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        number = 0
        while True:
            number += 1
            call = {
                "op": "call",
                "call": number,
                "binding": "__class__",
                "method": "__init__",
                "args": [[]],
                "kwargs": {"self": {}},
            }
            data = json.dumps(call).encode()
            channel.sendall(len(data).to_bytes(4, "big") + data)
