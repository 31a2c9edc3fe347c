"""The tiers of isolation: what each is made of, what it says to people, and when it is served."""

from dataclasses import dataclass

NAMESPACES = "namespaces"
LANDLOCK = "landlock"
SECCOMP = "seccomp"
LIMITS = "limits"
USER = "user"  # each worker is a user of its own (when the server is root)
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
    """How well tenants are isolated.

    `advice` is what an operator can do for more; `layers` are those that are in force.
    """

    letter: str
    sentence: str
    advice: str
    layers: tuple[str, ...]


class SandboxRefused(Exception):
    """This machine does not isolate well enough to serve; the message says what is missing and what to do about it."""


class SandboxDown(Exception):
    """No worker can be had now; the message says why."""


def judge(layers: tuple[str, ...], missing: str = "") -> Tier:
    """The tier that these layers make. `missing` says why namespaces could not be had."""
    why = f" ({missing})" if missing else ""
    if SECCOMP not in layers:
        return Tier("D", "NOT isolated: for your own code only.", f"{GET_SECCOMP}{why}", layers)
    if LANDLOCK not in layers:
        return Tier("C", _weak(layers), f"{GET_LANDLOCK}{why}", layers)
    if NAMESPACES not in layers:
        more = GET_BUBBLEWRAP if missing == NOT_INSTALLED else f"{GET_NAMESPACES}{why}"
        return Tier("B", "System-call filter and Landlock, no namespaces.", f"{more} {MICROVM}", layers)
    return Tier("A", "Isolated: namespaces, system-call filter, file and signal scoping.", MICROVM, layers)


def _weak(layers: tuple[str, ...]) -> str:
    """What tier C leaves open, which is only files, and depends on what else there is."""
    if NAMESPACES in layers:
        return "System-call filter and namespaces, no Landlock."
    if USER in layers:
        return "System-call filter only: tenant code can read what every user of this machine can."
    return "System-call filter only: tenant code can read every file that the server can, its database too."


def admit(tier: Tier, *, allow_weak: bool, unsafe: bool, loopback: bool) -> None:
    """Let a tier serve, or raise SandboxRefused with the cure."""
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
