"""Store results of a megabyte each that would be twenty megabytes as objects, past the checks inside.

Line: results whose serialisation misbehaves
End: errored LimitExceeded: storage: the instance holds more than
"""

import json
import socket
import time

from workers import WorkflowEntrypoint

CONFIG = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1_000}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        value = b"[" + b"[]," * 340_000 + b"1]"
        for count in range(1, 200):
            begun = json.dumps({"op": "do", "step": ["do", "many", count], "attempt": 1, "config": CONFIG}).encode()
            ended = b'{"op":"done","step":["do","many",%d],"attempt":1,"value":%b}' % (count, value)
            for data in (begun, ended):
                channel.sendall(len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
