"""What all code finds in `self.env`, whether it came as a snippet or was deployed.

Each serves any number of tenants at once.
"""

from collections.abc import Mapping

from playground.engine.bindings.binding import Binding
from playground.engine.bindings.effects import Effects
from playground.engine.bindings.kv import KV

EVERYBODYS: Mapping[str, Binding] = {"EFFECTS": Effects(), "KV": KV()}
