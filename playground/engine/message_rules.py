"""What a message may be: how large, of which content type, how much delayed. The same over HTTP and for code."""

from collections.abc import Mapping, Sequence
from typing import Any

from playground.store.messages import NewMessage
from playground.workflows import durations, values
from playground.workflows.errors import InvalidQueue, MessagesFull, NotSerialisable, TooLarge

BODY_BYTES = 128 * 1024
BATCH_BYTES = 256 * 1024  # of the messages of one call
BATCH_MOST = 100
DELAY_MOST_MS = durations.DAY
JSON, TEXT, BYTES, ANY = "json", "text", "bytes", "v8"
CONTENT_TYPES = (JSON, TEXT, BYTES, ANY)


def messages_full(most: int) -> MessagesFull:
    """The refusal of a message of a tenant that has as many as it may."""
    return MessagesFull(
        f"The queues of a tenant hold at most {most:,} messages, dead ones too. Have them handled, or delete dead "
        "ones.",
        setting="messages_per_tenant",
    )


def run_messages_full(most: int) -> MessagesFull:
    """The refusal of a message of a run without a tenant that has as many as it may."""
    return MessagesFull(
        f"The queue of a run holds at most {most:,} messages, dead ones too. Wait until some have been handled.",
        setting="messages_per_run",
    )


def new_messages(batch: Sequence[tuple[Any, Any, Any]], ids: Sequence[str]) -> list[NewMessage]:
    """Checked messages to send, each given as (encoded body, content type, delay in seconds).

    Raises:
        InvalidQueue: there are none or too many, or a content type or a delay can't be used.
        NotSerialisable: a body is not of its content type.
        TooLarge: a body, or all of them, have too many bytes.
    """
    if not 1 <= len(batch) <= BATCH_MOST:
        raise InvalidQueue(f"A batch takes 1 to {BATCH_MOST} messages, not {len(batch)}.")
    made, total = [], 0
    for index, (body, content_type, delay) in enumerate(batch):
        kind = JSON if content_type is None else content_type
        if kind not in CONTENT_TYPES:
            raise InvalidQueue(f"The content type of a message is one of {', '.join(CONTENT_TYPES)}.")
        if not _is_of(body, kind):
            raise NotSerialisable(f"The body of message {index} is not {_WHAT[kind]}, as its content type {kind} says.")
        total += values.check_size(body, f"body of message {index}", BODY_BYTES)
        made.append(NewMessage(ids[index], kind, body, delay_ms(delay)))
    if total > BATCH_BYTES:
        raise TooLarge(f"The messages have {total:,} bytes together; the limit is {BATCH_BYTES:,}. Send them in parts.")
    return made


def delay_ms(delay: Any) -> int | None:
    """Milliseconds of a delay in seconds; None for None, which leaves it to the queue. Raises InvalidQueue."""
    if delay is None:
        return None
    if isinstance(delay, bool) or not isinstance(delay, (int, float)) or not 0 <= delay * 1000 <= DELAY_MOST_MS:
        raise InvalidQueue(f"A delay takes 0 to {DELAY_MOST_MS // 1000:,} seconds.")
    return round(delay * 1000)


_WHAT = {JSON: "JSON", TEXT: "a text", BYTES: "bytes", ANY: "a value that can be stored"}


def _is_of(body: Any, kind: str) -> bool:
    """Whether an encoded body is of a content type."""
    if kind == TEXT:
        return isinstance(body, str)
    is_tagged = isinstance(body, Mapping) and len(body) == 1 and next(iter(body)).startswith("$")
    if kind == BYTES:
        return is_tagged and "$bytes" in body
    return kind == ANY or _is_json(body)


def _is_json(tree: Any) -> bool:
    if isinstance(tree, Mapping):
        if len(tree) == 1 and (tag := next(iter(tree))).startswith("$"):
            return tag in ("$int", "$dict") and (tag == "$int" or all(map(_is_json, tree[tag].values())))
        return all(map(_is_json, tree.values()))
    return all(map(_is_json, tree)) if isinstance(tree, (list, tuple)) else True
