"""Say a small, valid, useless thing as fast as it can.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded
"""

import socket

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"idle","seen":0}'
        frames = (len(data).to_bytes(4, "big") + data) * 10_000
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        while True:
            channel.sendall(frames)
