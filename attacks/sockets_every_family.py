"""Make a socket of every family and kind there is, packet, netlink, vsock and AF_ALG (CVE-2026-31431) among them.

Line: sockets of every family
End: complete []
"""

import socket

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        made = []
        for family in range(64):
            for kind in range(1, 11):
                try:
                    socket.socket(family, kind).close()
                    made.append([family, kind])
                except OSError:
                    pass
        try:
            socket.socketpair()
            made.append("a pair")
        except OSError:
            pass
        return made
