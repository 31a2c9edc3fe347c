"""Finish with an integer of a million digits.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame is not what the protocol allows
"""

import socket
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"finish","output":' + b"9" * 1_000_000 + b"}"
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        channel.sendall(len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
