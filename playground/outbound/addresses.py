"""Which addresses of the internet a request may reach: public unicast ones, and networks that the operator names.

The lists are IANA's registries of special-purpose addresses, IPv4 and IPv6 (RFC 6890 and its successors), and the
addresses at which clouds answer their machines that are not within them. An IPv6 address that holds an IPv4 one is
judged by what it leads to, or refused where nobody needs it today (6to4, Teredo, ISATAP). What cannot be read as an
address in its one usual form is refused: `2130706433`, `0x7f.1` and `0177.0.0.1` are 127.0.0.1 to the C library.
"""

import ipaddress
import re
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host on this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; 100.100.100.200 is the metadata of a cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's services for its machines, at an address that looks public
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is the metadata of a cloud
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and the broadcast
    )
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")  # all that is assigned as global unicast
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo (2001::/32) among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})  # the third quarter of such an address; the fourth is IPv4
# What the C library and browsers take for an IPv4 address: the last label is a number, decimal, octal or hexadecimal.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE | re.DOTALL)


def read_networks(text: str) -> tuple[Network, ...]:
    """Networks separated by commas, such as "10.0.0.0/8, fd00::/8"; an address is a network of one.

    Raises ValueError: one of them is no network.
    """
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def literal_address(host: str) -> Address | None:
    """The address that a host is, without brackets, or None: it is a name.

    Raises ValueError: it is an address that is written in another than its usual form, or with a scope.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a scope")
        return ipaddress.IPv6Address(host)
    if not _ENDS_IN_NUMBER.fullmatch(host):
        return None
    return ipaddress.IPv4Address(host)  # refuses leading zeros, short forms and other bases


def is_reachable(address: Address, reachable: Iterable[Network] = ()) -> bool:
    """Whether a request may go there. `reachable`: networks that it may reach though they are not public."""
    address = _leads_to(address)
    if any(address in network for network in reachable):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None or address not in _PUBLIC_6 or any(address in net for net in _NOT_PUBLIC_6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP


def _leads_to(address: Address) -> Address:
    """The IPv4 address behind a mapped (::ffff:0:0/96) or a translated (NAT64) one; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address
