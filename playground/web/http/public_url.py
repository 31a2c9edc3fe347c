"""Under which name the world reaches this server.

Absolute addresses in pages (canonical links, pictures for previews) come from here only.

The Host header is written by whoever asks. Put into a page that something on the way keeps, it would send other readers
elsewhere. So absolute addresses are made from the setting `public_url`; without it, from the request only where the
header can name nobody else: loopback, or the very address that the connection came to. In every other case pages go
without.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from playground.settings import BadSetting, named
from playground.web.http.hosts import is_own, name_of

_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """Makes addresses absolute. `base` is the setting, without a slash at its end; "" without one."""

    base: str = ""

    @classmethod
    def parse(cls, setting: str) -> "PublicUrl":
        """Read the setting `public_url`.

        Raises:
            BadSetting: it is no address of a site's root.
        """
        if not setting:
            return cls()
        parts = urlsplit(setting)
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or rest or not _HOST.fullmatch(parts.netloc):
            raise BadSetting(
                f"{named('public_url')} is {setting!r}; it takes the root of a site, such as https://play.example"
            )
        return cls(f"{parts.scheme}://{parts.netloc.lower()}")

    def of(self, request: Request) -> str | None:
        """What to put before a path to make it absolute; None where nothing can be trusted."""
        if self.base:
            return self.base
        hosts = request.headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or not is_own(name_of(request), request):
            return None
        return f"{request.url.scheme}://{hosts[0].lower()}"
