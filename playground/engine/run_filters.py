"""Filters of runs as people write them: the one vocabulary of HTTP, terminal, agents, library and page.

| field | is |
|---|---|
| `status` | one or several, a list or with commas between: queued, running, waiting, paused, errored … |
| `tag` | one or several: a run has all of them |
| `workflow`, `version` | of the code, as a tenant deployed it |
| `waiting_for` | the type of an event that a run waits for |
| `error` | the name of an error's class: `ValueError` |
| `text` | stands in a run's error: its name, message or traceback, in whatever case |
| `since`, `until` | when it was created: epoch milliseconds, `2026-11-30`, `2026-11-30T09:00Z`, or `2 hours` ago |

A run fits when all that is given holds. Limits: `TAGS_MOST` tags, names and texts of `TEXT_LENGTH` characters.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from playground.engine.code.sources import deployed_workflow
from playground.store.search import TAGS_MOST, RunFilter
from playground.workflows import durations, names
from playground.workflows import events as ev
from playground.workflows.errors import InvalidFilter, InvalidTag, WorkflowError
from playground.workflows.filters import FIELDS
from playground.workflows.tags import check_tag

TEXT_LENGTH = 200
TIMES = "epoch milliseconds, a date such as 2026-11-30, 2026-11-30T09:00Z, or a duration such as 2 hours, which is ago"


def run_filter(given: Mapping[str, Any], now: int) -> RunFilter:
    """What a search asks for; what is None or empty is not asked. `now` is in epoch milliseconds.

    Raises InvalidFilter.
    """
    asked = {name: value for name, value in given.items() if value not in (None, "", [], ())}
    for name in asked:
        if name not in FIELDS:
            raise InvalidFilter(f"There is no filter {str(name)[:40]!r}; there are: {', '.join(FIELDS)}.")
    try:
        return RunFilter(
            statuses=_statuses(asked),
            workflow=_deployed(asked),
            version=_text(asked, "version"),
            tags=_tags(asked),
            waiting_for=None if "waiting_for" not in asked else names.check_event_type(asked["waiting_for"]),
            error=_text(asked, "error"),
            text=_text(asked, "text"),
            since=_time(asked, "since", now),
            until=_time(asked, "until", now),
        )
    except InvalidFilter:
        raise
    except WorkflowError as refused:
        raise InvalidFilter(refused.message) from None


def _statuses(asked: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part for each in _list(asked, "status") for part in each.split(",") if part))
    for status in found:
        if status not in ev.STATUSES:
            raise InvalidFilter(f"`status` takes {', '.join(ev.STATUSES)}, several with commas between.")
    return found


def _tags(asked: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        found = tuple(dict.fromkeys(map(check_tag, _list(asked, "tag"))))
    except InvalidTag as refused:
        raise InvalidFilter(refused.message) from None
    if len(found) > TAGS_MOST:
        raise InvalidFilter(f"A filter takes up to {TAGS_MOST} tags, all of which a run then has.")
    return found


def _list(asked: Mapping[str, Any], name: str) -> Sequence[str]:
    value = asked.get(name, ())
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or not all(isinstance(each, str) for each in listed):
        raise InvalidFilter(f"`{name}` takes a text or a list of texts.")
    return listed


def _deployed(asked: Mapping[str, Any]) -> str | None:
    name = _text(asked, "workflow")
    return None if name is None else deployed_workflow(names.check_name(name, "workflow"))


def _text(asked: Mapping[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > TEXT_LENGTH or "\0" in value or _has_surrogates(value):
        raise InvalidFilter(f"`{name}` takes a text of 1 to {TEXT_LENGTH} characters.")
    return value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _time(asked: Mapping[str, Any], name: str, now: int) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    if isinstance(value, str) and len(value) <= 40:
        try:
            return now - durations.parse(value)
        except durations.InvalidDuration:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    raise InvalidFilter(f"`{name}` takes {TIMES}.")
