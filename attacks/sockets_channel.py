"""Misuse the one socket it has: send descriptors, credentials and out-of-band bytes (CVE-2025-38236), rebind it, ask
who is there.

Line: sockets of every family
End: complete []
"""

import array
import socket

from workers import WorkflowEntrypoint

CHANNEL = 3


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, CHANNEL)
        ways = {
            "send a descriptor": lambda: channel.sendmsg(
                [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [CHANNEL]))]
            ),
            "receive descriptors": lambda: channel.recvmsg(1, 100, socket.MSG_DONTWAIT),
            "send out of band": lambda: channel.send(b"", socket.MSG_OOB),
            "send to another": lambda: channel.sendto(b"", b"\0other"),
            "connect it": lambda: channel.connect(b"\0other"),
            "bind it": lambda: channel.bind(b"\0attack"),
            "listen": lambda: channel.listen(),
            "pass credentials": lambda: channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1),
            "ask who is there": lambda: channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12),
            "grow its buffer": lambda: channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30),
            "shut it down": lambda: channel.shutdown(socket.SHUT_RD),
        }
        done = []
        for name, way in ways.items():
            try:
                way()
                done.append(name)
            except OSError:
                pass
        channel.detach()
        return done
