"""Connections of the guarded client: a name is resolved once, every answer is checked, and the connection goes to one
of the checked addresses, so that no later answer of the name's servers counts (DNS rebinding).

The name stays what TLS verifies and what the `Host` header says. A name with one address among others that may not be
reached is refused as a whole. Names are resolved in threads of their own: one whose servers do not answer holds up no
other work of the process, and at most `RESOLVERS` of them hold up each other.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import httpcore2

from playground.outbound.addresses import Network, is_reachable, literal_address
from playground.outbound.errors import NoAnswer, Refused

RESOLVERS = 32
ADDRESSES_TRIED = 4  # of one name, one after the other
CONNECT_SECONDS = 5.0  # for each of them


class Resolver(Protocol):
    """How the addresses of a name are found."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name, the preferred one first. Raises OSError: there are none."""

    def close(self) -> None:
        """Resolve nothing more."""


class SystemResolver:
    """As the machine does it: its files of hosts, its name servers."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """See `Resolver`."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """TCP connections to addresses that may be reached, and to no others."""

    def __init__(self, resolver: Resolver, reachable: Sequence[Network]) -> None:
        self._resolver, self._reachable = resolver, reachable
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, connect. Raises Refused, NoAnswer."""
        addresses = await self.addresses(host, port)
        for address in addresses[:ADDRESSES_TRIED]:
            try:
                stream = await self._sockets.connect_tcp(
                    address, port, min(timeout or CONNECT_SECONDS, CONNECT_SECONDS), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
            peer = stream.get_extra_info("server_addr")
            assert ipaddress.ip_address(peer[0]) == ipaddress.ip_address(address), "connected to what was checked"
            return stream
        raise NoAnswer(f"Could not connect to {host}, port {port}.")

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, each of which may be reached. Raises Refused, NoAnswer."""
        try:
            literal = literal_address(host)
            found = await self._resolver(host, port) if literal is None else [str(literal)]
            addresses = [ipaddress.ip_address(text) for text in found]
        except (OSError, ValueError):
            raise NoAnswer(f"There is no address for the name {host}.") from None
        if not addresses:
            raise NoAnswer(f"There is no address for the name {host}.")
        if not all(is_reachable(address, self._reachable) for address in addresses):
            raise Refused(
                f"{host} is not on the public internet. Requests go to public addresses only, and to networks that "
                "the operator names.",
                limit="reachable",
            )
        return [str(address) for address in addresses]

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refused always: a socket of this machine is no host."""
        raise Refused("Requests go to hosts, not to sockets of this machine.")

    async def sleep(self, seconds: float) -> None:
        """Wait, between tries of the pool."""
        await asyncio.sleep(seconds)
