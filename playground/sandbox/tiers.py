"""Isolation tiers A to D: their layers, what people read of them, and which a server accepts."""

from dataclasses import dataclass

NAMESPACES = "namespaces"
LANDLOCK = "landlock"
SECCOMP = "seccomp"
LIMITS = "limits"
USER = "user"  # each worker has a uid of its own (when the server is root)
MEMORY_GROUP = "memory group"

MICROVM = "Before opening it to the internet, put gVisor or a microVM around the node."
NOT_INSTALLED = "bubblewrap is not installed"
CANNOT = "bubblewrap cannot make namespaces here"
GET_BUBBLEWRAP = "Install bubblewrap for tier A."
GET_NAMESPACES = "Let bubblewrap make namespaces for tier A; SECURITY.md says how, in a container too."
GET_LANDLOCK = "Use a kernel of version 6.12 or later with Landlock switched on (lsm=landlock,...)."
NEEDS = "SECURITY.md says what each layer needs of the kernel; nothing runs with less than was begun with."
GET_SECCOMP = "Run it on Linux with libseccomp2 installed."


@dataclass(frozen=True, slots=True)
class Tier:
    """How well tenants are isolated. `advice` is how an operator gets a better tier; `layers` are those in force."""

    letter: str
    sentence: str
    advice: str
    layers: tuple[str, ...]


class SandboxRefused(Exception):
    """The isolation is too weak to serve; the message says what is missing and what to do."""


class SandboxDown(Exception):
    """No worker is available; the message says why."""


def tier_of(layers: tuple[str, ...], missing: str = "") -> Tier:
    """The tier of these layers. `missing` is why there are no namespaces."""
    why = f" ({missing})" if missing else ""
    if SECCOMP not in layers:
        return Tier("D", "NOT isolated: for your own code only.", f"{GET_SECCOMP}{why}", layers)
    if LANDLOCK not in layers:
        return Tier("C", _tier_c_sentence(layers), f"{GET_LANDLOCK}{why}", layers)
    if NAMESPACES not in layers:
        more = GET_BUBBLEWRAP if missing == NOT_INSTALLED else f"{GET_NAMESPACES}{why}"
        return Tier("B", "System-call filter and Landlock, no namespaces.", f"{more} {MICROVM}", layers)
    return Tier("A", "Isolated: namespaces, system-call filter, file and signal scoping.", MICROVM, layers)


def _tier_c_sentence(layers: tuple[str, ...]) -> str:
    """The sentence of tier C, which leaves only files open; which, depends on the other layers."""
    if NAMESPACES in layers:
        return "System-call filter and namespaces, no Landlock."
    if USER in layers:
        return "System-call filter only: tenant code can read what every user of this machine can."
    return "System-call filter only: tenant code can read every file that the server can, its database too."


def require_allowed(tier: Tier, *, allow_weak: bool, unsafe: bool, loopback: bool) -> None:
    """Raise SandboxRefused, with what to do, unless a server may serve with this tier."""
    if tier.letter == "C" and not (allow_weak or unsafe):
        raise SandboxRefused(f"Tier C: {tier.sentence} {tier.advice} Or accept the risk with --allow-weak-sandbox.")
    if tier.letter == "D":
        if not unsafe:
            raise SandboxRefused(
                f"Tier D: {tier.sentence} {tier.advice} Or, for your own code only, use --unsafe-no-sandbox."
            )
        if not loopback:
            raise SandboxRefused(
                f"Tier D: {tier.sentence} --unsafe-no-sandbox serves on a loopback address only, such as 127.0.0.1."
            )
