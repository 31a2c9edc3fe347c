"""Batches of instances, as Cloudflare's `createBatch` and `deleteBatch` take and answer them.

A batch to create is a list of entries, or an object: `{"count": 10, "params": …, "retention": …, "tags": …}` for
instances that are alike and get ids of their own, or `{"instances": [entry, …]}`. An entry has `id`, `params`,
`retention` and `tags`, all optional, and what says when it may start (workflows/flow.py). An entry that can't be used
refuses the batch; an id that is taken, or repeated in the batch, is left out and reported with its place, a code and a
message, and so is an entry in whose place there is another instance of its key. Codes are the numbers that Cloudflare's
runtime gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.store.protocol import Refusal
from playground.workflows.errors import InvalidBatch
from playground.workflows.flow import DEBOUNCED, FIELDS, SINGLETON

BATCH_MOST = 100  # instances of one batch
NOT_FOUND = 10400
ALREADY_EXISTS = 10405
DUPLICATE_IN_BATCH = 10415

_ENTRY = frozenset({"id", "params", "retention", "tags"}) | FIELDS
_ALIKE = frozenset({"count", "params", "retention", "tags"})


@dataclass(frozen=True, slots=True)
class BatchError:
    """An entry of a batch that was left out: its place from 0, its id, a code and a sentence."""

    index: int
    id: str
    code: int
    message: str

    def as_json(self) -> dict[str, Any]:
        """The fields as an object."""
        return {"index": self.index, "id": self.id, "code": self.code, "message": self.message}


def batch_entries(batch: Any) -> list[dict[str, Any]]:
    """The entries of a batch as keyword arguments. Raises InvalidBatch when it or an entry has another form."""
    if isinstance(batch, Mapping) and "count" in batch:
        return _alike(batch)
    if isinstance(batch, Mapping) and "instances" in batch:
        if batch.keys() != {"instances"} or not isinstance(batch["instances"], Sequence):
            raise InvalidBatch("A batch with `instances`, a list, has nothing else: each entry has its own params.")
        batch = batch["instances"]
    if not isinstance(batch, Sequence) or isinstance(batch, (str, bytes)):
        raise InvalidBatch("A batch is a list of entries, or an object with `count` or with `instances`.")
    entries = list(batch)
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not entry.keys() <= _ENTRY:
            raise InvalidBatch(
                f"Entry {index} of the batch can't be used: each is a dict with id, params, retention, tags and what "
                "says when it may start, all optional."
            )
    return [dict(entry) for entry in entries]


def _alike(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = batch["count"]
    if not batch.keys() <= _ALIKE:
        raise InvalidBatch("A batch with `count` has params, retention and tags, all optional, and nothing else.")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= BATCH_MOST:
        raise InvalidBatch(f"The `count` of a batch takes a whole number from 1 to {BATCH_MOST}.")
    entry = {name: value for name, value in batch.items() if name != "count"}
    return [dict(entry) for _ in range(count)]


def batch_errors(ids: Sequence[str | None], refused: Sequence[Refusal]) -> list[BatchError]:
    """What is reported of the entries that were left out; `ids` are those of all entries, in order."""
    errors = []
    for refusal in refused:
        if refusal.code in (SINGLETON, DEBOUNCED):
            what = "left as it was" if refusal.code == SINGLETON else "put off, with the new params"
            code, said = ALREADY_EXISTS, f'There is instance "{refusal.id}" of the same key; it was {what}.'
        elif refusal.id in ids[: refusal.index]:
            code, said = DUPLICATE_IN_BATCH, f'An earlier entry of this batch has the id "{refusal.id}" already.'
        else:
            code, said = ALREADY_EXISTS, f'There is, or was, an instance "{refusal.id}"; it was left as it is.'
        errors.append(BatchError(refusal.index, refusal.id, code, said))
    return errors


def checked_ids(ids: Any) -> list[str]:
    """The ids of a batch to delete. Raises InvalidBatch when they are no list of 1 to 100 texts."""
    if not isinstance(ids, Sequence) or isinstance(ids, (str, bytes)) or not all(isinstance(id, str) for id in ids):
        raise InvalidBatch("A batch to delete is a list of ids.")
    if not 1 <= len(ids) <= BATCH_MOST:
        raise InvalidBatch(f"A batch takes 1 to {BATCH_MOST} instances, not {len(ids)}.")
    return list(ids)


def deleted_batch(ids: Sequence[str], missing: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The answer to a batch that was deleted: one entry for each of `ids`, repeated ones too, under `deleted` or, with
    the sentence that `missing` has for it, under `errors`.
    """
    return {
        "deleted": [{"id": id} for id in ids if id not in missing],
        "errors": [{"id": id, "code": NOT_FOUND, "message": missing[id]} for id in ids if id in missing],
    }
