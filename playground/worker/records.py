"""Mappings whose keys are also attributes: the workflow's event, a step's context, a received event."""

from datetime import UTC, datetime
from typing import Any


class Record(dict[str, Any]):
    """A dict whose keys can also be read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}; there are: {', '.join(map(str, self))}") from None


def moment(milliseconds: int) -> datetime:
    """The aware datetime of epoch milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
