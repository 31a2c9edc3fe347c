"""The servers that a URL names: `postgresql://user@a:5432,b:5432/name`, or `…/name?host=a,b&port=5432,5433`.

Of several, one at a time takes writes, and after a fail-over it is another. The driver tries them in the URL's order
within one time for all, so that a first machine that is silent, as one without power is, would use up all of it. Here
each has a time of its own, and the one that was right last is tried first.
"""

from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

PORT = 5432
CONNECT_SECONDS = 5.0  # to the only server
CONNECT_SECONDS_EACH = 2.0  # where there are others to try

Host = tuple[str, int]


def named_hosts(url: str) -> Sequence[Host]:
    """The hosts of a URL that names several, else none: then the driver finds the one. Raises ValueError."""
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    ports = given.get("port", [""])[-1].split(",")
    if "host" in given:
        names = given["host"][-1].split(",")
    else:
        pairs = [_split(place) for place in parts.netloc.rpartition("@")[2].split(",")]
        names = [name for name, _ in pairs]
        if any(port for _, port in pairs):
            ports = [port for _, port in pairs]
    if len(names) < 2:
        return ()
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise ValueError(f"{len(names)} hosts and {len(ports)} ports; give one port, or one for each host")
    return [(unquote(name), int(port) if port else PORT) for name, port in zip(names, ports, strict=True)]


def _split(place: str) -> tuple[str, str]:
    """Name and port of a place; an IPv6 address stands in brackets."""
    if place.startswith("["):
        name, _, rest = place[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = place.partition(":")
    return name, port


class Hosts:
    """The servers of one URL, in the order in which they are to be tried.

    Raises ValueError.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._named = list(named_hosts(url))

    @property
    def connect_seconds(self) -> float:
        """How long one of them has to answer."""
        return CONNECT_SECONDS_EACH if self._named else CONNECT_SECONDS

    def in_order(self) -> Sequence[Host | None]:
        """None stands for the only one."""
        return list(self._named) or [None]

    def prefer(self, host: Host | None) -> None:
        """This one takes writes: try it first from now on."""
        if host is not None and self._named[0] != host:
            self._named.remove(host)
            self._named.insert(0, host)
