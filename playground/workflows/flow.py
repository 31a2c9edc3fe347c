"""Flow control: what a create may ask of when its instance starts, and what a workflow's limits hold back.

An instance with a `key` shares the limits of that key with the other instances of its workflow that have the same one:

- `concurrency_per_key`: how many of a key may have begun and not ended. One that sleeps or waits counts, since what a
  limit of one is for (nothing else of this order meanwhile) must hold while it does.
- `rate`: how many of a key may start in any span of so many seconds, to the instance.

What may not start yet is *held*: queued, with `held_until`, the time before which it can't start. When its turn comes,
`workflow_admitted` stands in its journal and it waits for a worker like any other; of a key, the highest priority goes
first, then the oldest. An instance keeps the limits that it was created under. A restart holds it again.

Without a key nothing but `delay` holds an instance back. `priority` also puts it before the others of its tenant that
wait for a worker.

`singleton`: one unfinished instance of a key; a second create gives the one that there is and changes nothing.
`debounce`: while the instance of a key has not started, each further create gives that one, with the new params, and
puts its start off again, by `seconds` from then on but never past `longest` after the first.
Source of the words: Inngest and Trigger.dev, which agree on most of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from playground.workflows import durations
from playground.workflows.durations import InvalidDuration
from playground.workflows.errors import InvalidFlow

KEY_LENGTH = 200
KEY_OF_RUN = "/"  # in the key of a child of nobody's code: between its parent's number and what its code says
PRIORITY_MOST = 100
CONCURRENCY_MOST = 10_000
RATE_MOST = 10_000  # starts in a span, each of which is a row as long as the span lasts
RATE_SECONDS_MOST = 24 * 3_600
DEBOUNCE_SECONDS_MOST = 24 * 3_600
DEBOUNCE_LONGEST_MOST = 7 * 24 * 3_600

FIELDS = frozenset({"key", "delay", "priority", "singleton", "debounce", "limits"})  # of a create
DEBOUNCE_FIELDS = frozenset({"seconds", "longest", "key"})
CONCURRENCY, RATE = "concurrency_per_key", "rate"  # in a workflow's limits, and in a row's
# Why a create gave an instance that there was already: the codes of its refusal in a batch.
SINGLETON, DEBOUNCED = "instance.singleton", "instance.debounced"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` starts in any `seconds`."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Debounce:
    """How long each create puts the start off, and the longest that all of them together may, in seconds.

    Without a `key` it is that of the create; without a `longest` the most that there is.
    """

    seconds: float
    longest: float = DEBOUNCE_LONGEST_MOST
    key: str | None = None


class FlowLimits(NamedTuple):
    """The limits of a workflow that hold per key; None: no such limit."""

    concurrency_per_key: int | None = None
    rate: Rate | None = None


NO_LIMITS = FlowLimits()


@dataclass(frozen=True, slots=True)
class Flow:
    """What one create asks, checked by `checked_flow`."""

    key: str | None = None
    delay_ms: int = 0
    priority: int = 0
    singleton: bool = False
    debounce: Debounce | None = None
    limits: FlowLimits = NO_LIMITS

    @property
    def is_held(self) -> bool:
        """Whether the instance is held until its turn comes."""
        return self.delay_ms > 0 or self.debounce is not None or (self.key is not None and self.limits != NO_LIMITS)

    @property
    def first_delay_ms(self) -> int:
        """How long after its creation it may start."""
        return self.delay_ms if self.debounce is None else round(self.debounce.seconds * 1_000)

    def stored_limits(self) -> dict[str, Any]:
        """The limits in the form in which a row keeps them."""
        found: dict[str, Any] = {}
        if self.key is not None and self.limits.concurrency_per_key is not None:
            found[CONCURRENCY] = self.limits.concurrency_per_key
        if self.key is not None and self.limits.rate is not None:
            found[RATE] = {"count": self.limits.rate.count, "seconds": self.limits.rate.seconds}
        return found

    def shown(self, held_until: int | None) -> dict[str, Any]:
        """What the journal says of it in `workflow_queued`."""
        shown: dict[str, Any] = {} if self.key is None else {"key": self.key}
        if self.priority:
            shown["priority"] = self.priority
        if self.debounce is not None:
            shown["debounce"] = {"seconds": self.debounce.seconds, "longest": self.debounce.longest}
        if held_until is not None:
            shown["until"] = held_until
        return shown | self.stored_limits()


def checked_flow(
    key: Any = None,
    delay: Any = None,
    priority: Any = None,
    singleton: Any = False,
    debounce: Any = None,
    limits: Any = None,
    *,
    of_workflow: FlowLimits = NO_LIMITS,
) -> Flow | None:
    """What a create asks, or None where it asks for nothing.

    Args:
        key: text that names what instances share, such as an order's number.
        delay: milliseconds, or a duration such as "5 minutes", before which it does not start.
        priority: 0 (as the others) to 100; the higher goes first.
        singleton: see above; needs a key.
        debounce: `{"seconds", "longest"?, "key"?}`; needs a key.
        limits: `{"concurrency_per_key"?, "rate"?}` in place of all those of the workflow.
        of_workflow: the limits of the workflow.

    Raises:
        InvalidFlow: one of these makes no sense; the message says which, and what it takes.
    """
    asked = _checked_debounce(debounce)
    if asked is not None and asked.key is not None:
        if key is not None and key != asked.key:
            raise InvalidFlow(
                "`debounce` names another key than `key`. An instance has one key: leave one of them out."
            )
        key = asked.key
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= KEY_LENGTH and key.isprintable()):
        raise InvalidFlow(f"`key` takes text of 1 to {KEY_LENGTH} printable characters.")
    if not isinstance(singleton, bool):
        raise InvalidFlow("`singleton` takes true or false.")
    if singleton and asked is not None:
        raise InvalidFlow("`singleton` and `debounce` both say what a second create of a key does; take one of them.")
    if key is None and (singleton or asked is not None or limits is not None):
        what = "singleton" if singleton else "limits" if asked is None else "debounce"
        raise InvalidFlow(f"`{what}` needs a `key`: what the instances share.")
    if limits is not None and not (isinstance(limits, Mapping) and limits.keys() <= {CONCURRENCY, RATE}):
        raise InvalidFlow(f"`limits` takes {CONCURRENCY} and {RATE}, both optional.")
    held_by = of_workflow if limits is None else checked_limits(limits)
    found = Flow(
        key, _checked_delay(delay), _whole(priority, "priority", 0, PRIORITY_MOST, 0), singleton, asked, held_by
    )
    if found.debounce is not None and found.delay_ms:
        raise InvalidFlow("`delay` and `debounce` both say when it starts; take one of them.")
    return None if found == Flow(limits=held_by) else found


def checked_limits(given: Mapping[str, Any]) -> FlowLimits:
    """The limits per key among a workflow's limits. Raises InvalidFlow."""
    concurrency, rate = given.get(CONCURRENCY), given.get(RATE)
    if concurrency is not None:
        concurrency = _whole(concurrency, CONCURRENCY, 1, CONCURRENCY_MOST)
    if rate is not None:
        if isinstance(rate, Rate):
            rate = {"count": rate.count, "seconds": rate.seconds}
        if not isinstance(rate, Mapping) or set(rate) != {"count", "seconds"}:
            raise InvalidFlow('`rate` takes {"count", "seconds"}: so many starts in so many seconds.')
        count = _whole(rate["count"], "count of `rate`", 1, RATE_MOST)
        rate = Rate(count, _whole(rate["seconds"], "seconds of `rate`", 1, RATE_SECONDS_MOST))
    return FlowLimits(concurrency, rate)


def under_limits(limits: FlowLimits) -> Flow | None:
    """What a template of new instances has, so that they are under these limits; None: there are none."""
    return None if limits == NO_LIMITS else Flow(limits=limits)


def limits_of(stored: Mapping[str, Any] | None) -> FlowLimits:
    """The limits per key that a row keeps."""
    if not stored or not (CONCURRENCY in stored or RATE in stored):
        return NO_LIMITS
    rate = stored.get(RATE)
    return FlowLimits(stored.get(CONCURRENCY), None if rate is None else Rate(**rate))


def _checked_delay(delay: Any) -> int:
    if delay is None:
        return 0
    try:
        found = durations.parse(delay)
    except InvalidDuration as error:
        raise InvalidFlow(f"`delay`: {error}") from None
    if found > durations.LONGEST:
        raise InvalidFlow("`delay` takes at most 365 days.")
    return found


def _checked_debounce(given: Any) -> Debounce | None:
    found: Debounce | None = given if isinstance(given, Debounce) else None
    if given is not None and found is None:
        if not isinstance(given, Mapping) or "seconds" not in given or not given.keys() <= DEBOUNCE_FIELDS:
            raise InvalidFlow('`debounce` takes {"seconds", "longest", "key"}, the last two optional.')
        found = Debounce(**given)
    if found is not None and not (_is_number(found.seconds) and _is_number(found.longest)):
        raise InvalidFlow("`seconds` and `longest` of `debounce` take numbers.")
    if found is not None and not 0 < found.seconds <= DEBOUNCE_SECONDS_MOST:
        raise InvalidFlow(f"`seconds` of `debounce` takes more than 0, and at most {DEBOUNCE_SECONDS_MOST:,}.")
    if found is not None and not found.seconds <= found.longest <= DEBOUNCE_LONGEST_MOST:
        raise InvalidFlow(
            f"`longest` of `debounce` takes seconds: at least `seconds`, and at most {DEBOUNCE_LONGEST_MOST:,}."
        )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any, name: str, least: int, most: int, default: int = 0) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidFlow(f"`{name}` takes a whole number from {least} to {most:,}.")
    return value
