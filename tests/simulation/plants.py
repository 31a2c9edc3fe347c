"""Faults planted in the engine, the store or the network on purpose: a simulation that misses them is useless."""

from enum import Enum


class Plant(Enum):
    """One of them; the value is what it is called on the command line."""

    NONE = "none"
    FENCE_OFF = "fence-off"  # the store takes commits of executions that have been replaced
    LEASE_LATE = "lease-late"  # a node does not stop its workers without a lease, and renews one that is over
    NO_POLL = "no-poll"  # notifications are lost, and nothing polls for what they would have said
    OWN_CLOCKS = "own-clocks"  # each node goes by its own clock
    NO_WALK = "no-walk"  # a node does not look for children whose end nobody brought to their parent
    UNPLAYED = "unplayed"  # a node does not look for what it has without knowing
