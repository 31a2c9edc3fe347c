"""The tiers of isolation: what each is made of, what it says to people, and when it is served."""

from dataclasses import dataclass

NAMESPACES = "namespaces"
LANDLOCK = "landlock"
SECCOMP = "seccomp"
LIMITS = "limits"
USER = "user"  # each worker is a user of its own (when the server is root)
MEMORY_GROUP = "memory group"

MICROVM = "Before opening it to the internet, put gVisor or a microVM around the node."
GET_NAMESPACES = "Install bubblewrap and allow user namespaces (or run the container with CAP_SYS_ADMIN) for tier A."
GET_LANDLOCK = "Use a kernel of version 6.12 or later with Landlock switched on (lsm=landlock,...)."
GET_SECCOMP = "Run it on Linux with libseccomp2 installed."


@dataclass(frozen=True, slots=True)
class Tier:
    """How well tenants are isolated. `advice` is what an operator can do for more; `layers` are those that are in force."""

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
        return Tier("C", "System-call filter only.", f"{GET_LANDLOCK}{why}", layers)
    if NAMESPACES not in layers:
        return Tier("B", "System-call filter and Landlock, no namespaces.", f"{GET_NAMESPACES} {MICROVM}{why}", layers)
    return Tier("A", "Isolated: namespaces, system-call filter, file and signal scoping.", MICROVM, layers)


def admit(tier: Tier, *, allow_weak: bool, unsafe: bool, loopback: bool) -> None:
    """Let a tier serve, or raise SandboxRefused with the cure."""
    if tier.letter == "C" and not (allow_weak or unsafe):
        raise SandboxRefused(f"Tier C: {tier.sentence} {tier.advice} Or accept the risk with --allow-weak-sandbox.")
    if tier.letter == "D":
        if not unsafe:
            raise SandboxRefused(f"Tier D: {tier.sentence} {tier.advice} Or, for your own code only, use --unsafe-no-sandbox.")
        if not loopback:
            raise SandboxRefused(
                f"Tier D: {tier.sentence} --unsafe-no-sandbox serves on a loopback address only, such as 127.0.0.1."
            )
