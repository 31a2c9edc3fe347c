"""Say nothing at all, in frames, as fast as it can.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame is not what the protocol allows
"""

import socket
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        try:
            channel.sendall(bytes(4) * 1_000_000)
        except OSError:
            pass
        time.sleep(1_000)
