"""Searching a tenant's instances: what a filter asks for, and how the databases find it.

A search walks one index from the newest instance to the oldest, the one that leaves the fewest to look at: of a tag,
of failed instances by the error's name, of a status, or of waits for an event. Everything else that the filter asks is
compared on the way. What the index of statuses holds (workflow, version, time of creation) costs next to nothing; a
row that has to be read costs about a microsecond. So a walk ends after `TIERS` candidates, whatever it has found;
`next` says where it goes on, and a search that has found less than it was asked for may not be over.

A range of times is a range of keys, since keys grow with creation: it is found by halving, with `SLACK_MS` on both
sides for clocks that were set, and compared again on the way.

Both databases have the same statements under the same names (search.sql): `:name` stands for a value.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from heapq import nlargest
from typing import Any, NamedTuple, Protocol

import msgspec

from playground.store.named_sql import NamedSql
from playground.store.rows import InstanceRow
from playground.workflows.events import ERRORED, FINAL_STATUSES, STATUSES

# Candidates that one search looks at: first a few, which is enough where many fit; then as many as take 0.2 s.
TIERS = (2_000, 100_000)
READ_TIERS = (2_000, 30_000)  # the same where each row has to be read
RARE_WAITS = 5_000  # waits for an event, over all tenants, up to which they are walked, and not the tenant's instances
SLACK_MS = 60_000
NEWEST = 2**63 - 1

_VALUE = re.compile(r"(?<!:):([a-z_]+\d*)")


class RunFilter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a search asks for; an instance fits when all of it does.

    `statuses`: any of these; none: any. `tags`: all of these. `waiting_for`: a wait for events of this type is open.
    `error` is the name of its error's class, `text` stands in its error: name, message or traceback, in whatever case.
    `since` and `until`: when it was created, in epoch milliseconds, from the first and before the second. `version` is
    the code's. `workflow` is as in `InstanceRow`. Only an instance that has ended has an error.
    """

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    waiting_for: str | None = None
    error: str | None = None
    text: str | None = None
    since: int | None = None
    until: int | None = None


class Found(NamedTuple):
    """A page of a search, newest first. `next`: the key before which it goes on; None: that was all."""

    keys: Sequence[int]
    next: int | None


class Head(NamedTuple):
    """An instance without what may be large."""

    key: int
    id: str
    status: str
    generation: int


class SearchStore(Protocol):
    """Searches, which only read. Nothing is promised of what changes meanwhile."""

    async def keys(self, tenant: str, filter: RunFilter, *, before: int | None = None, limit: int = 50) -> Found:
        """The keys of instances that fit, newest first: those under `before`."""

    async def heads(self, keys: Sequence[int]) -> Sequence[Head]:
        """What is needed of these instances to operate on them, newest first, those that are gone left out."""

    async def rows(self, keys: Sequence[int]) -> Sequence[InstanceRow]:
        """The instances of these keys, newest first, those that are gone left out."""


class Statement(NamedTuple):
    """A statement with its values."""

    text: str
    values: Sequence[Any]


Steps = Generator[Statement, Sequence[Any], Any]  # yields statements, is sent their rows


class Walk:
    """One way along an index, from the newest instance to the oldest.

    Args:
        sql: the statements of search.sql.
        mark: what stands before the number of a value.
        driver: the name of the statement that walks.
        status: for the walk over one status.
    """

    def __init__(
        self, sql: NamedSql, mark: str, tenant: str, filter: RunFilter, driver: str, status: str | None = None
    ) -> None:
        self._sql, self._mark, self._driver = sql, mark, driver
        conditions, self._values = _conditions(filter, driver)
        self._conditions = "".join(f"\n    AND {sql[name]}" for name in conditions)
        self._values |= {"tenant": tenant, "status": status}
        self.reads_rows = driver != "listed" or not set(conditions) <= COVERED

    def floor(self, before: int, after: int, candidates: int) -> Statement:
        """The key of the last of so many candidates; nothing where there are fewer."""
        return self._render(self._sql[f"{self._driver}_floor"], before=before, after=after, skipped=candidates - 1)

    def page(self, before: int, after: int, limit: int) -> Statement:
        """The keys of those that fit, from `after` on."""
        text = f"{self._sql[self._driver]}{self._conditions}\n{self._sql[f'{self._driver}_order']}"
        return self._render(text, before=before, after=after, limit=limit)

    def _render(self, text: str, **more: Any) -> Statement:
        return rendered(text, self._mark, {**self._values, **more})


def rendered(text: str, mark: str, values: Mapping[str, Any]) -> Statement:
    """A statement with a number for each named value that it has."""
    names: list[str] = []

    def number(found: "re.Match[str]") -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"{mark}{names.index(found[1]) + 1}"

    numbered = _VALUE.sub(number, text)
    return Statement(numbered, [values[name] for name in names])


COVERED = {"of_workflow", "of_version", "since", "until"}  # what the index of statuses holds
TAGS_MOST = 5  # of a filter: each is a condition with a name of its own


def walks(sql: NamedSql, mark: str, tenant: str, filter: RunFilter, waits_are_rare: bool) -> list[Walk]:
    """The walks that find what fits: one, or one for each status."""
    if filter.waiting_for is not None and waits_are_rare:
        return [Walk(sql, mark, tenant, filter, "waiting")]
    if filter.tags:
        return [Walk(sql, mark, tenant, filter, "tagged")]
    if filter.error is not None:
        return [Walk(sql, mark, tenant, filter, "failed")]
    statuses: Sequence[str] = filter.statuses or STATUSES
    if filter.text is not None and not filter.statuses:
        statuses = [ERRORED]
    if filter.waiting_for is not None:
        statuses = [status for status in statuses if status not in FINAL_STATUSES]
    return [Walk(sql, mark, tenant, filter, "listed", status) for status in dict.fromkeys(statuses)]


def _conditions(filter: RunFilter, driver: str) -> tuple[list[str], dict[str, Any]]:
    """The names of the conditions beside a driver, and all values."""
    names: list[str] = []
    values: dict[str, Any] = {}
    if filter.statuses and driver != "listed":
        names.append("of_statuses")
        values["statuses"] = list(filter.statuses)
    for name, field in (("of_workflow", "workflow"), ("of_version", "version"), ("since", "since"), ("until", "until")):
        if (value := getattr(filter, field)) is not None:
            names.append(name)
            values[field] = value
    for number, tag in enumerate(filter.tags):
        values[f"tag{number}"] = tag
        if driver != "tagged" or number:
            names.append(f"tag{number}")
    if filter.waiting_for is not None:
        values["waiting_for"] = filter.waiting_for
        names.append("unfinished" if driver == "waiting" else "waits")
    if filter.error is not None:
        values["error"] = filter.error
        if driver != "failed":
            names.append("of_error")
    if filter.text is not None:
        values["text"] = msgspec.json.encode(filter.text).decode()[1:-1].lower()
        names.append("has_text")
    return names, values


class Search:
    """One search, for whoever runs its statements."""

    def __init__(
        self, sql: NamedSql, mark: str, tenant: str, filter: RunFilter, before: int | None, limit: int
    ) -> None:
        self._sql, self._mark, self._tenant, self._filter = sql, mark, tenant, filter
        self._before, self._limit = NEWEST if before is None else before, limit

    def steps(self) -> Steps:
        """Yields statements, is sent their rows, returns `Found`."""
        before, after = yield from self._range()
        rare = False
        if self._filter.waiting_for is not None:
            values = {"waiting_for": self._filter.waiting_for, "most": RARE_WAITS + 1}
            [[count]] = yield rendered(self._sql["count_waits"], self._mark, values)
            rare = count <= RARE_WAITS
        filter = self._filter
        if len(filter.tags) > 1:
            filter = msgspec.structs.replace(filter, tags=(yield from self._rarest_first()))
        found: list[int] = []
        along = walks(self._sql, self._mark, self._tenant, filter, rare)
        tiers = READ_TIERS if any(walk.reads_rows for walk in along) else TIERS
        for candidates in tiers:
            floor = after
            for walk in along:
                last = yield walk.floor(before, after, candidates)
                floor = max(floor, last[0][0] if last else after)
            page: list[int] = []
            for walk in along:
                rows = yield walk.page(before, floor, self._limit - len(found))
                page += [row[0] for row in rows]
            found += nlargest(self._limit - len(found), page)
            if len(found) >= self._limit:
                return Found(found, found[-1])
            if floor <= after:
                return Found(found, None)
            before = floor
        return Found(found, before)

    def _rarest_first(self) -> Steps:
        counts = {}
        for tag in self._filter.tags:
            values = {"tenant": self._tenant, "tag0": tag, "most": READ_TIERS[-1]}
            [[counts[tag]]] = yield rendered(self._sql["count_tag"], self._mark, values)
        return tuple(sorted(counts, key=lambda tag: counts[tag]))

    def _range(self) -> Steps:
        before, after, filter = self._before, 0, self._filter
        if filter.since is None and filter.until is None:
            return before, after
        if filter.since is not None:
            [[after]] = yield self._first_key(filter.since - SLACK_MS)
        if filter.until is not None:
            [[first]] = yield self._first_key(filter.until + SLACK_MS)
            before = min(before, first)
        return before, after

    def _first_key(self, at: int) -> Statement:
        return rendered(self._sql["first_key"], self._mark, {"at": at})
