"""Queues for workers: the name of an instance's queue, and the limits of each tenant.

Instances take turns by queue: a tenant's, a client address's, or that of somebody's chaos runs, which hold up nothing
else of theirs. Limits are how much may be queued, running and started in a second: the settings, or what a program has
set for one tenant.
"""

from dataclasses import dataclass

from playground.settings import Settings
from playground.store.protocol import ClaimLimits, QueueLimit

ADDRESS = "addr:"  # prefix of the queue of a client address
CHAOS = "chaos:"  # prefix of the queue of chaos runs


def of_address(address: str) -> str:
    """The queue of what a client address starts."""
    return ADDRESS + address


def of_tenant(tenant: str) -> str:
    """The owner of a tenant's checks. Its instances are in a queue of its own name, which may be any text."""
    return f"tenant:{tenant}"


def of_chaos(queue: str) -> str:
    """The queue of the chaos runs of whoever has this queue."""
    return CHAOS + queue


def is_chaos(queue: str) -> bool:
    """Whether what takes its turn here belongs to a chaos run."""
    return queue.startswith(CHAOS)


def billed(queue: str) -> str:
    """The queue that is charged for what is stored."""
    return queue.removeprefix(CHAOS)


def address_of(queue: str) -> str:
    """The client address of a queue."""
    return billed(queue).removeprefix(ADDRESS)


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of one tenant; None leaves one to the setting.

    Args:
        running: instances that may have a worker at once (`running_per_tenant`).
        queued: instances that may be queued when one more is created (`queued_per_tenant`).
        starts_per_second: executions that may begin in a second (`starts_per_second_per_tenant`).

    Raises:
        ValueError: a limit is no whole number from 1 on.
    """

    running: int | None = None
    queued: int | None = None
    starts_per_second: int | None = None

    def __post_init__(self) -> None:
        for name in ("running", "queued", "starts_per_second"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}; it takes a whole number from 1 on, or None for the setting")


class LimitsOfTenants:
    """The limits of every tenant. `own` has those that are not left to the settings, by the tenant's name in the store.

    Per node on purpose: they are part of the program that embeds the engine, which is the same on every node.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.own: dict[str, TenantLimits] = {}

    def set(self, tenant: str, limits: TenantLimits) -> None:
        """Set a tenant's limits, in place of those set before."""
        self.own[tenant] = limits

    def claim_limits(self, *, spare: int) -> ClaimLimits:
        """What may run and begin of every queue, on all nodes together. `spare`: see `ClaimLimits`."""
        settings = self._settings
        default = QueueLimit(settings.running_per_tenant, settings.starts_per_second_per_tenant)
        kinds = (
            (CHAOS, QueueLimit(settings.chaos_running)),
            (ADDRESS, QueueLimit(settings.running_per_address)),
        )
        own = {
            name: QueueLimit(
                default.running if limits.running is None else limits.running,
                default.starts_per_second if limits.starts_per_second is None else limits.starts_per_second,
            )
            for name, limits in self.own.items()
        }
        return ClaimLimits(default, kinds, own, spare)

    def queued(self, tenant: str) -> int:
        """How many of a tenant may be queued."""
        own = self.own.get(tenant)
        return self._settings.queued_per_tenant if own is None or own.queued is None else own.queued
