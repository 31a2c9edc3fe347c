"""The address the server listens on.

Apart from server.py, so that a port that is taken is known before anything large is read.
"""

import errno
import ipaddress
import os
import socket
from typing import Any

BACKLOG = 2_048  # connections that may wait to be accepted


class CannotListen(Exception):
    """The address can't be listened on; the message is one line."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; nothing is accepted yet.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    family, kind, protocol, address = _resolve(host, port)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        cure = (
            "choose another with --port, or 0 for a free one"
            if error.errno == errno.EADDRINUSE
            else "choose another with --host or --port"
        )
        raise CannotListen(
            f"can't listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}; {cure}"
        ) from None
    sock.setblocking(False)
    return sock


def is_loopback(host: str) -> bool:
    """Whether to listen on it is to be heard on this machine only.

    Raises:
        CannotListen: it is no address of this machine.
    """
    *_, address = _resolve(host, 0)
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, Any]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise CannotListen(f"--host {host!r} is not an address of this machine") from None
    return family, kind, protocol, address


def url_of_socket(sock: socket.socket) -> str:
    """Where a browser finds it, as http://127.0.0.1:8000."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
