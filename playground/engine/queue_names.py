"""Whose turn an instance takes, by the name of its queue: a tenant's own, an address's, or beside that the one of its
chaos runs.
"""

ADDRESS = "addr:"  # what the queue of a client address begins with
CHAOS = "chaos:"  # what stands before it in the queue of its chaos runs, so that they hold up nothing else of it


def of_address(address: str) -> str:
    """The queue of what a client address starts."""
    return ADDRESS + address


def of_tenant(tenant: str) -> str:
    """Whose a tenant's checks are. Its instances are in a queue of its own name, which may be any text."""
    return f"tenant:{tenant}"


def of_chaos(queue: str) -> str:
    """The queue of the chaos runs of whoever has this queue."""
    return CHAOS + queue


def is_chaos(queue: str) -> bool:
    """Whether what takes its turn here belongs to a chaos run."""
    return queue.startswith(CHAOS)


def billed(queue: str) -> str:
    """The queue that answers for what is stored."""
    return queue.removeprefix(CHAOS)


def who(queue: str) -> str:
    """The client address of a queue."""
    return billed(queue).removeprefix(ADDRESS)
