"""What each layer of confinement stops, as the tests of one layer at a time find it:
the rows of SECURITY.md's table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from playground.sandbox import probe
from playground.sandbox.tiers import LANDLOCK, LIMITS, NAMESPACES, SECCOMP, USER

LAYERS: Mapping[str, str] = {
    NAMESPACES: "namespaces",
    LANDLOCK: "Landlock",
    SECCOMP: "call filter",
    LIMITS: "limits",
    USER: "own user",
}


@dataclass(frozen=True)
class Excess:
    """An attempt that the probe at start cannot make, because it may end the worker.

    `stops` is who stops it, `source` leaves `r = 'open'` otherwise.
    """

    stops: frozenset[str]
    source: str


EXCESSES: Mapping[str, Excess] = {
    "take more memory than it may": Excess(frozenset({LIMITS}), "x = bytearray(400 * 1024 * 1024); r = 'open'"),
    "compute for longer than it may": Excess(
        frozenset({LIMITS}), "import time\nwhile time.process_time() < 1.5: pass\nr = 'open'"
    ),
    "hold more descriptors than it may": Excess(
        frozenset({LIMITS}), "import os\nfor _ in range(200): os.dup(0)\nr = 'open'"
    ),
}


def table() -> str:
    """As it stands in SECURITY.md."""
    rows = [("a tenant tries to", *LAYERS.values()), ("---", *[":-:"] * len(LAYERS))]
    stops = {**probe.STOPPED_BY, **{name: excess.stops for name, excess in EXCESSES.items()}}
    for name, layers in stops.items():
        always = layers == frozenset(LAYERS)
        rows.append((name, *("before" if always else "stops" if layer in layers else "" for layer in LAYERS)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
