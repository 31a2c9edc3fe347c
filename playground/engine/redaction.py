"""Redaction: secrets are removed from the logs, results and errors of an instance as they go into its journal.

A name that holds a secret is refused. The workflow itself receives the true values: a result that holds a secret is
stored as it is, and shown redacted.

Limits: what is found is the text of a secret, each line of one that has several, and both within `bytes`; not what code
makes of it, such as its reverse.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from playground.workflows import events as ev
from playground.workflows.events import REDACTED, NewEvent

SHORTEST_LINE = 4  # characters of a line of a secret that is looked for by itself

_FIELD_OF = {
    ev.LOG: "text",
    ev.STREAM_APPENDED: "values",
    ev.STEP_COMPLETED: "output",
    ev.KV_PUT: "value",
    ev.WORKFLOW_COMPLETED: "output",
    ev.EVENT_REPLIED: "output",
    ev.WORKFLOW_ERRORED: "error",
    ev.ATTEMPT_ERRORED: "error",
    ev.STEP_ERRORED: "error",
    ev.ROLLBACK_STARTED: "error",
    ev.ROLLBACK_ATTEMPT_ERRORED: "error",
    ev.ROLLBACK_STEP_ERRORED: "error",
    ev.ROLLBACK_ERRORED: "error",
}
_USED_BY_CODE = frozenset({ev.STEP_COMPLETED, ev.KV_PUT})  # whose true value the workflow receives


def secret_in_name(what: str) -> str:
    """The refusal of a name that holds a secret; `what` is the kind of name, with its article."""
    return f"{what} is shown in the journal, so it may not hold a secret."


class Redactor:
    """Replaces secrets in events."""

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {
            part for secret in secrets for part in (secret, *secret.splitlines()) if len(part.strip()) >= SHORTEST_LINE
        }
        self._parts = sorted(parts, key=len, reverse=True)
        self._raw = [part.encode("utf-8", "replace") for part in self._parts]

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._parts)

    def contains_secret(self, text: str) -> bool:
        """Whether a text holds a secret."""
        return any(part in text for part in self._parts)

    def redact(self, tree: Any) -> Any:
        """An encoded value, or a text, without secrets."""
        return self._tree(tree) if self._parts else tree

    def redact_event(self, event: NewEvent) -> NewEvent:
        """The event without secrets; the true value, where the workflow needs it, is kept as its `secret`."""
        field = _FIELD_OF.get(event.type)
        if field is None or not self._parts:
            return event
        value = event.data.get(field)
        tree = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        redacted = self._error(tree) if field == "error" else self._tree(tree)
        if redacted == tree:
            return event
        secret = value if event.secret is None and event.type in _USED_BY_CODE else event.secret
        return event._replace(data={**event.data, field: redacted}, secret=secret)

    def _error(self, error: Any) -> Any:
        """Like `_tree`, but the names of its fields stay what they are."""
        if isinstance(error, Mapping):
            return {name: self._tree(value) if name == "args" else self._error(value) for name, value in error.items()}
        if isinstance(error, (list, tuple)):
            return [self._error(value) for value in error]
        return self._tree(error)

    def _tree(self, tree: Any) -> Any:
        if isinstance(tree, str):
            for part in self._parts:
                if part in tree:
                    tree = tree.replace(part, REDACTED)
            return tree
        if isinstance(tree, Mapping):
            if len(tree) == 1 and "$bytes" in tree:
                return self._bytes(tree)
            return {self._tree(name): self._tree(value) for name, value in tree.items()}
        if isinstance(tree, (list, tuple)):
            return [self._tree(value) for value in tree]
        return tree

    def _bytes(self, tree: Mapping[str, Any]) -> Any:
        try:
            data = base64.b64decode(tree["$bytes"])
        except (TypeError, ValueError):
            return tree
        return REDACTED if any(part in data for part in self._raw) else tree
