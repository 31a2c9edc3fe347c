"""Reach out: a name server, a web server, the cloud's metadata address, the playground itself.

Line: sockets of every family
End: complete []
"""

import asyncio
import socket
import urllib.request

from workers import WorkflowEntrypoint

ADDRESSES = (
    ("1.1.1.1", 53),
    ("169.254.169.254", 80),
    ("127.0.0.1", 8000),
    ("localhost", 8000),
    ("::1", 8000),
    ("example.org", 443),
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        reached = []
        for host, port in ADDRESSES:
            try:
                socket.create_connection((host, port), timeout=1).close()
                reached.append(host)
            except OSError:
                pass
            try:
                await asyncio.open_connection(host, port)
                reached.append(f"{host} by asyncio")
            except (OSError, RuntimeError):
                pass
        for way in (
            lambda: urllib.request.urlopen("http://127.0.0.1:8000/healthz", timeout=1),
            lambda: socket.create_server(("0.0.0.0", 0)),
            lambda: socket.if_nameindex(),
        ):
            try:
                way()
                reached.append("another way")
            except OSError:
                pass
        return reached
