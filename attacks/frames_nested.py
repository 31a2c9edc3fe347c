"""Finish with a value nested half a million levels deep.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: a frame is nested more than
"""

import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        import socket

        deep = b'{"op":"finish","output":' + b"[" * 500_000 + b"]" * 500_000 + b"}"
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
        channel.sendall(len(deep).to_bytes(4, "big") + deep)
        time.sleep(1_000)
