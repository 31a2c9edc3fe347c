"""Whose request it is: the client's address, taken from X-Forwarded-For only where a proxy that is named in the
settings wrote it.

IPv6 clients are told apart by their /64, since one household or host owns a whole one.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground.settings import BadSetting, named

if TYPE_CHECKING:
    from starlette.requests import Request

LOCAL = "local"  # a client without an address, as over a Unix socket
IPV6_PREFIX = 64

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Addresses:
    """Reads client addresses; `trusted` are the proxies to believe."""

    trusted: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, setting: str) -> "Addresses":
        """Read the setting `trusted_proxies`: addresses or networks, separated by commas.

        Raises:
            BadSetting: one of them is neither.
        """
        networks = []
        for part in filter(None, (part.strip() for part in setting.split(","))):
            try:
                networks.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                raise BadSetting(
                    f"{named('trusted_proxies')} has {part!r}; it takes addresses or networks such as 10.0.0.0/8, "
                    "separated by commas"
                ) from None
        return cls(tuple(networks))

    def of(self, request: "Request") -> str:
        """The address that limits and turns are counted by."""
        if request.client is None:
            return LOCAL
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")) if self.trusted else ""
        return self.client(request.client.host, (part.strip() for part in forwarded.split(",")))

    def trusts(self, host: str) -> bool:
        """Whether this is a proxy to believe."""
        found = _parse(host)
        return found is not None and any(found in network for network in self.trusted)

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The nearest address that is not a trusted proxy's, walking from the peer back along what the proxies
        wrote.
        """
        found = _parse(peer)
        if found is None:
            return peer[:64] or LOCAL
        for part in reversed(list(forwarded)):
            if not any(found in network for network in self.trusted):
                break
            further = _parse(part)
            if further is None:
                break
            found = further
        return _grouped(found)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, which some proxies write with brackets or with a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _grouped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
