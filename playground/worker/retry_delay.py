"""The delay before the next attempt of a step, where the tenant computes it."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from playground.worker import failures
from playground.worker.context import label_of
from playground.worker.entrypoint import NonRetryableDelayError
from playground.worker.records import Record
from playground.workflows import durations


async def computed(function: Callable[..., Any], key: tuple[str, str, int], info: Record, seconds: float) -> int:
    """Milliseconds, by the `function` of a step's config, which is given `info` and may take so many seconds.

    Raises:
        NonRetryableDelayError: it failed, was late, or gave no duration.
    """
    where = f'The delay function for step "{label_of(key)}"'
    try:
        async with asyncio.timeout(seconds) as within:
            delay = function(info)
            if inspect.isawaitable(delay):
                delay = await delay
    except Exception as failed:
        if isinstance(failed, TimeoutError) and within.expired():
            raise NonRetryableDelayError(f"{where} did not return within {seconds:g} seconds") from None
        raise NonRetryableDelayError(f"{where} threw an error: {failures.message_of(failed)}") from failed
    try:
        return durations.parse(delay)
    except durations.InvalidDuration:
        raise NonRetryableDelayError(
            f"{where} returned an invalid delay value (expected a number of ms or a duration string like "
            f"{durations.EXAMPLE})"
        ) from None
