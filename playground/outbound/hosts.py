"""Which hosts may be asked, how, and with which credentials: the allow-list.

A rule is written `[METHODS ][scheme://]host[:port]`: `api.example.com`, `*.example.com`,
`GET,HEAD https://example.com:8443`, `http://intranet`. Without a scheme it is https, without a port the scheme's own,
without methods every method. `*.example.com` is every host under that domain, but not the domain itself; `*` is every
host whose name is no address. Of several rules that fit, the first counts.

A URL is read once, by `read_url`, and everything after it goes by what was read. Of what readers of URLs disagree about
nothing passes: users in it, spaces, control characters, backslashes, escapes in the host, addresses in unusual forms.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx2
import idna

from playground.outbound.addresses import literal_address
from playground.outbound.errors import Refused

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PORTS = {"http": 80, "https": 443}
URL_CHARACTERS = 8_192
HOST_CHARACTERS = 253
RULE_CHARACTERS = 400
ANY_HOST = "*"

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_DOTS = re.compile("[\u3002\uff0e\uff61]")  # IDNA takes them for a dot
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_AUTHORITY = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_RULE = re.compile(r"(?:(?P<methods>[A-Za-z,]+)\s+)?(?:(?P<scheme>https?)://)?(?P<authority>[^/\s]+)/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HostRule:
    """One row of an allow-list.

    Args:
        host: a name in ASCII, an address, `*.` and a domain, or `*`.
        methods: in capitals.
        scheme: http or https.
        port: the one port.
        headers: sent along with each request that the rule lets pass, in place of the caller's; credentials.
        idempotency: the header in which the key of the step is sent, or "".
        hidden: what is secret in `headers`.
    """

    host: str
    methods: tuple[str, ...] = METHODS
    scheme: str = "https"
    port: int = 443
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    idempotency: str = ""
    hidden: Sequence[str] = field(default=(), repr=False)

    @property
    def origin(self) -> str:
        """Where it lets requests go, as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    def fits(self, target: "Target", method: str) -> bool:
        """Whether it lets a request pass."""
        return (
            self.scheme == target.scheme
            and self.port == target.port
            and method in self.methods
            and host_fits(self.host, target.host)
        )

    def covers(self, other: "HostRule") -> bool:
        """Whether everything that the other rule lets pass passes here too."""
        if (self.scheme, self.port) != (other.scheme, other.port) or not set(other.methods) <= set(self.methods):
            return False
        if self.host in (ANY_HOST, other.host):
            return self.host != ANY_HOST or literal_address_of_rule(other.host) is None
        return self.host.startswith("*.") and other.host.removeprefix("*").endswith(self.host[1:])

    def __str__(self) -> str:
        return ("" if self.methods == METHODS else ",".join(self.methods) + " ") + self.origin


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: a URL as it was read, and what the rules look at. `host` is a name in ASCII, or an address
    without brackets.
    """

    url: httpx2.URL
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom the caller talks to. What is a secret of one origin is not sent to another."""
        return (self.scheme, self.host, self.port)


Rules = Sequence[HostRule]


def host_fits(pattern: str, host: str) -> bool:
    """Whether a host is one that a rule names."""
    if pattern == ANY_HOST:
        return literal_address_of_rule(host) is None
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def literal_address_of_rule(host: str) -> object | None:
    """The address that the host of a rule is, or None: it is a name, or a pattern."""
    return None if host.startswith("*") else literal_address(host)


def read_rule(text: str) -> HostRule:
    """A rule as it is written. Raises ValueError: with a sentence that says what is wrong."""
    if len(text) > RULE_CHARACTERS:
        raise ValueError(f"A rule has at most {RULE_CHARACTERS} characters, not {len(text):,}.")
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} names no host. Write api.example.com, *.example.com or GET https://example.com:8443."
        )
    scheme = (found["scheme"] or "https").lower()
    name, port = _split_authority(found["authority"], scheme, text)
    methods = tuple(method for method in METHODS if found["methods"] and method in found["methods"].upper().split(","))
    unknown = {*(found["methods"] or "").upper().split(",")} - {"", *METHODS}
    if unknown:
        raise ValueError(f"{text!r}: {', '.join(sorted(unknown))} is none of {', '.join(METHODS)}.")
    return HostRule(_rule_host(name, text), methods or METHODS, scheme, port)


def read_rules(text: str) -> tuple[HostRule, ...]:
    """Rules separated by semicolons or line ends. Raises ValueError, as `read_rule` does."""
    return tuple(read_rule(part) for part in re.split(r"[;\n]", text) if part.strip())


def _rule_host(name: str, text: str) -> str:
    if name == ANY_HOST:
        return ANY_HOST
    domain = name.removeprefix("*.")
    try:
        host = read_host(domain)
        if domain != name and literal_address(host) is not None:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r}: {name!r} is no host name.") from None
    return f"*.{host}" if domain != name else host


def read_url(text: object) -> Target:
    """A URL that a request may go to, as far as its form says. Raises Refused."""
    if not isinstance(text, str):
        raise Refused(f"A URL is text, not {type(text).__name__}.")
    if len(text) > URL_CHARACTERS:
        raise Refused(f"The URL has {len(text):,} characters; at most {URL_CHARACTERS:,} are possible.")
    found = _AUTHORITY.match(text)
    if found is None:
        raise Refused("A URL begins with https:// or http:// and a host.")
    if _FORBIDDEN.search(text):
        raise Refused(
            "The URL holds a space, a control character or a backslash. Escape it, as urllib.parse.quote does."
        )
    scheme, authority = found[1].lower(), found[2]
    if "@" in authority:
        raise Refused("The URL holds a user or a password. Send them in a header.")
    try:
        name, port = _split_authority(authority, scheme, authority)
        host = read_host(name)
        shown = f"[{host}]" if ":" in host else host
        url = httpx2.URL(f"{scheme}://{shown}:{port}{text[found.end() :]}")
    except (ValueError, httpx2.InvalidURL):
        raise Refused(
            f"{authority[:HOST_CHARACTERS]!r} is no host that a request can go to. An address is written as four "
            "decimal numbers, or as IPv6 in brackets."
        ) from None
    assert (url.scheme, url.raw_host.decode(), url.port or PORTS[scheme]) == (scheme, host, port)
    return Target(url, scheme, host, port)


def read_host(name: str) -> str:
    """A host in the one form that rules and requests are compared in: lower-case ASCII, no dot at its end, an address
    in its shortest form. Raises ValueError: it is none.
    """
    if name.startswith("[") and name.endswith("]"):
        return str(ipaddress.IPv6Address(_without_scope(name[1:-1])))
    if "%" in name or not name or len(name) > 4 * HOST_CHARACTERS:
        raise ValueError(name)
    if not name.isascii():
        name = idna.encode(_DOTS.sub(".", unicodedata.normalize("NFKC", name)), uts46=True).decode()
    name = name.lower().removesuffix(".")
    address = literal_address(name)
    if address is not None:
        return str(address)
    if len(name) > HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(name)
    return name


def _without_scope(text: str) -> str:
    if "%" in text:
        raise ValueError(text)
    return text


def _split_authority(authority: str, scheme: str, text: str) -> tuple[str, int]:
    found = _HOST_AND_PORT.fullmatch(authority)
    port = int(found[2]) if found and found[2] else PORTS[scheme]
    if found is None or not 0 < port < 65_536:
        raise ValueError(f"{text!r} names no host, or no port from 1 to 65535.")
    return found[1], port


def allowed_rule(rules: Rules, target: Target, method: str) -> HostRule:
    """The first rule that lets a request pass. Raises Refused."""
    for rule in rules:
        if rule.fits(target, method):
            return rule
    shown = HostRule(target.host, METHODS, target.scheme, target.port)
    others = [rule for rule in rules if host_fits(rule.host, target.host)]
    if any((rule.scheme, rule.port) == (target.scheme, target.port) for rule in others):
        raise Refused(f"{method} {shown} is not allowed; other methods are.")
    if others:
        raise Refused(f"{shown} is not allowed; {', '.join(str(rule) for rule in others[:3])} is.")
    raise Refused(f"{shown} is not on the list of allowed hosts.")
