"""Mappings whose keys are also attributes: the workflow's event, a step's context, a received event."""

from datetime import UTC, datetime
from typing import Any

from playground.workflows.unavailable import instead_of_binding


class Record(dict[str, Any]):
    """A dict whose keys can also be read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}; there are: {', '.join(map(str, self))}") from None


class Environment(Record):
    """`self.env`: bindings by name. One that is not there is told with those that are."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        common = instead_of_binding(name)
        cure = f" In its place there may be `self.env.{common}`." if common in self else ""
        there = ", ".join(map(str, self)) or "nothing"
        raise AttributeError(
            f"`self.env` has no `{name}`; it has: {there}.{cure} The operator of the server adds others."
        )


def moment(milliseconds: int) -> datetime:
    """The aware datetime of epoch milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
