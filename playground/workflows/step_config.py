"""The configuration of a step: its keys and their defaults, and the delay between attempts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playground.workflows import durations

RETRY_LIMIT = 5  # retries, so 6 attempts
RETRY_LIMIT_MOST = 10_000
RETRY_DELAY = 10 * durations.SECOND
TIMEOUT = 10 * durations.MINUTE  # of one attempt
CONSTANT = "constant"
LINEAR = "linear"
EXPONENTIAL = "exponential"
BACKOFFS = (CONSTANT, LINEAR, EXPONENTIAL)
SENSITIVE = ("output",)
COMPUTED = "computed"  # in stored configs instead of a delay that a function computes

KEYS = ("retries", "timeout", "sensitive")
RETRY_KEYS = ("limit", "delay", "backoff")
REQUIRED_RETRY_KEYS = ("limit", "delay")


class StepConfigError(ValueError):
    """A step's config can't be used; the message names the step, the key and valid values."""


@dataclass(frozen=True, slots=True)
class StepConfig:
    """A resolved config. Times in milliseconds; `delay` is None when `delay_function` computes it."""

    limit: int = RETRY_LIMIT
    delay: int | None = RETRY_DELAY
    backoff: str = EXPONENTIAL
    timeout: int = TIMEOUT
    sensitive: str | None = None
    delay_function: Callable[..., Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The config as stored with the step, shown in the journal and passed to callbacks as `ctx.config`."""
        delay = COMPUTED if self.delay is None else self.delay
        shown: dict[str, Any] = {
            "retries": {"limit": self.limit, "delay": delay, "backoff": self.backoff},
            "timeout": self.timeout,
        }
        if self.sensitive:
            shown["sensitive"] = self.sensitive
        return shown

    def with_stored(self, stored: Mapping[str, Any]) -> "StepConfig":
        """The config that the step started with, which applies whatever the code says now; only the delay function is
        taken from the code.
        """
        retries = stored["retries"]
        computed = retries["delay"] == COMPUTED
        function = (self.delay_function or (lambda info: self.delay)) if computed else None
        return StepConfig(
            retries["limit"],
            None if computed else retries["delay"],
            retries["backoff"],
            stored["timeout"],
            stored.get("sensitive"),
            function,
        )


def resolve(config: Mapping[str, Any] | None, step: str) -> StepConfig:
    """Check a config as a tenant wrote it and fill in the defaults.

    Raises:
        StepConfigError: an unknown key, a missing one, or a value that can't be used.
    """
    if config is None:
        return StepConfig()
    _check_keys(config, KEYS, f'Config of step "{step}"')
    given: dict[str, Any] = {}
    if "retries" in config:
        given.update(_retries(config["retries"], step))
    if "timeout" in config:
        given["timeout"] = _duration(config["timeout"], "timeout", step)
        if given["timeout"] <= 0:
            raise StepConfigError(f'Config of step "{step}": timeout must be greater than 0')
    if config.get("sensitive") is not None:
        if config["sensitive"] not in SENSITIVE:
            raise StepConfigError(f'Config of step "{step}": sensitive takes "output"')
        given["sensitive"] = "output"
    return StepConfig(**given)


def backoff_delay(backoff: str, delay: int, attempt: int) -> int:
    """Milliseconds to wait after failed attempt number `attempt`, given the base delay; at most 365 days."""
    if backoff == LINEAR:
        delay *= attempt
    elif backoff == EXPONENTIAL:
        delay *= 2 ** min(attempt - 1, 64)
    return min(delay, durations.LONGEST)


def _retries(retries: Any, step: str) -> dict[str, Any]:
    _check_keys(retries, RETRY_KEYS, f'Config of step "{step}": retries')
    for key in REQUIRED_RETRY_KEYS:
        if key not in retries:
            raise StepConfigError(f'Config of step "{step}": retries needs "{key}"')
    given: dict[str, Any] = {"limit": _limit(retries["limit"], step)}
    if callable(retries["delay"]):
        given.update(delay=None, delay_function=retries["delay"])
    else:
        given["delay"] = _duration(retries["delay"], "retries.delay", step)
    if "backoff" in retries:
        if retries["backoff"] not in BACKOFFS:
            raise StepConfigError(f'Config of step "{step}": retries.backoff takes {", ".join(BACKOFFS)}')
        given["backoff"] = retries["backoff"]
    return given


def _limit(limit: Any, step: str) -> int:
    number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
    if not number or not 0 <= limit <= RETRY_LIMIT_MOST or limit != int(limit):
        raise StepConfigError(
            f'Config of step "{step}": retries.limit must be a whole number from 0 to {RETRY_LIMIT_MOST:,}'
        )
    return int(limit)


def _duration(value: Any, key: str, step: str) -> int:
    try:
        milliseconds = durations.parse(value)
    except durations.InvalidDuration as refused:
        raise StepConfigError(f'Config of step "{step}": {key}: {refused}') from None
    if milliseconds > durations.LONGEST:
        raise StepConfigError(f'Config of step "{step}": {key} is longer than 365 days, the longest there is')
    return milliseconds


def _check_keys(config: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(config, Mapping):
        raise StepConfigError(f"{where} must be a dict, not {type(config).__name__}")
    for key in config:
        if key not in known:
            shown = f'"{key[:60]}"' if isinstance(key, str) else f"of type {type(key).__name__}"
            raise StepConfigError(f"{where}: unknown key {shown}; it takes {', '.join(known)}")
