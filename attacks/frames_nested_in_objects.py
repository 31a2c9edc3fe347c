"""Finish with objects in objects, with brackets hidden in strings so that a careless count of them is wrong.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame is nested more than
"""

import socket
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        deep = b'{"op":"finish","output":' + b'{"]]]]\\"}}}}":' * 50_000 + b"1" + b"}" * 50_000 + b"}"
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        channel.sendall(len(deep).to_bytes(4, "big") + deep)
        time.sleep(1_000)
