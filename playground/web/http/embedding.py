"""Whether other sites may show shared code in a frame (`/s/{snippet}/embed`), and what is said where they may not.

Whoever frames the embed view decides what stands beside it and over it, so that a press that is meant for their page
runs code. On a site for everybody that is what a frame is for. On somebody's own machine it would let any website run
code there. So embedding is on only where the operator says so: by the setting, or by a public URL for others.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from playground.settings import BadSetting, Settings
from playground.web.http.hosts import is_loopback_name

OFF = (
    "Other sites may not show pages of this server in a frame. Whoever runs it can allow that: "
    "start it with `--embeddable`, or with `--public-url` where others reach it."
)
UNPROTECTED = "Other sites may not show pages of this server in a frame, since it runs code without isolation (tier D)."
_REFUSED = (
    "embeddable is 'yes', but this server runs code without isolation (tier D), so no other site may frame its pages; "
    "leave the option out"
)


@dataclass(frozen=True, slots=True)
class Embedding:
    """`on`: other sites may frame shared code. Where they may not, `why` says what to do."""

    on: bool
    why: str = ""

    @classmethod
    def of(cls, settings: Settings, *, unprotected: bool) -> "Embedding":
        """What the settings say; `unprotected` servers run code without isolation and are never framed.

        Raises:
            BadSetting: it was switched on for an unprotected server.
        """
        if unprotected:
            if settings.embeddable == "yes":
                raise BadSetting(_REFUSED)
            return cls(False, UNPROTECTED)
        on = settings.embeddable == "yes" or (settings.embeddable == "auto" and _is_public(settings.public_url))
        return cls(on, "" if on else OFF)


def _is_public(url: str) -> bool:
    """Whether a public URL leads beyond the machine of who opens it."""
    return bool(url) and not is_loopback_name(urlsplit(url).hostname or "")
