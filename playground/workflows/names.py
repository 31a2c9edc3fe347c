"""Rules for names and ids, and the text of a source as Python's parser reads it: without a mark, in its lines."""

import base64
import hashlib
import re

from playground.workflows.errors import InvalidEventType, InvalidId, InvalidName

INSTANCE_ID_LENGTH = 100
DERIVED_ID_LENGTH = 26
NAME_LENGTH = 64  # of a workflow or a tenant
EVENT_TYPES_MOST = 10  # that one wait waits for
EVENT_TYPE_LENGTH = 100
STREAM_NAME_LENGTH = 100
STEP_NAME_LENGTH = 256  # characters

_ID = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9-_]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_RULE = "letters, digits, _ and -, not beginning with -"


def derived_id(text: str) -> str:
    """The id that follows from a text: everybody comes to the same one, and nobody finds two texts with one id.

    It is lower-case base32 of 130 of the 256 bits of its SHA-256.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest).decode().lower()[:DERIVED_ID_LENGTH]


def check_instance_id(id: object) -> str:
    """Raises InvalidId unless `id` is 1 to 100 characters of the pattern."""
    if not _is_name(id, INSTANCE_ID_LENGTH):
        raise InvalidId(f"The instance id {_quoted(id)} can't be used: it takes 1 to {INSTANCE_ID_LENGTH} {_RULE}.")
    return str(id)


def check_name(name: object, what: str) -> str:
    """Raises InvalidName unless `name` (of a `what`: workflow or tenant) is 1 to 64 characters of the pattern."""
    if not _is_name(name, NAME_LENGTH):
        raise InvalidName(f"The {what} name {_quoted(name)} can't be used: it takes 1 to {NAME_LENGTH} {_RULE}.")
    return str(name)


def check_event_type(type: object) -> str:
    """Raises InvalidEventType unless `type` is 1 to 100 characters of the pattern (so no `.`)."""
    if not _is_name(type, EVENT_TYPE_LENGTH):
        raise InvalidEventType(
            f"The event type {_quoted(type)} can't be used: it takes 1 to {EVENT_TYPE_LENGTH} {_RULE}."
        )
    return str(type)


def check_stream_name(name: object) -> str:
    """Raises InvalidName unless `name` is 1 to 100 characters of the pattern, so that it can stand in an address."""
    if not _is_name(name, STREAM_NAME_LENGTH):
        raise InvalidName(f"The stream name {_quoted(name)} can't be used: it takes 1 to {STREAM_NAME_LENGTH} {_RULE}.")
    return str(name)


def check_event_types(types: object) -> str:
    """What a wait waits for, one type or a list of them, as it is stored: several with a comma between, which no type
    holds. One that is repeated counts once. Raises InvalidEventType.
    """
    if not isinstance(types, (list, tuple)):
        return check_event_type(types)
    found = list(dict.fromkeys(check_event_type(type) for type in types))
    if not 1 <= len(found) <= EVENT_TYPES_MOST:
        raise InvalidEventType(f"A wait takes one event type or a list of 1 to {EVENT_TYPES_MOST}, not {len(found)}.")
    return ",".join(found)


def split_event_types(stored: str) -> list[str]:
    """The types that a wait waits for, of which any ends it."""
    return stored.split(",")


def is_step_name(name: object) -> bool:
    """True for a string of 1 to 256 characters without control characters."""
    if not isinstance(name, str) or not 0 < len(name) <= STEP_NAME_LENGTH:
        return False
    return str.isprintable(name) or not _CONTROL.search(name)  # what is printable holds no control character


def step_name_error(name: object) -> str:
    """The message for an invalid step name, in Cloudflare's wording."""
    return f"Step name {_quoted(name)} exceeds max length ({STEP_NAME_LENGTH} chars) or invalid characters found"


def _is_name(text: object, length: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= length and _ID.match(text) is not None


def _quoted(value: object) -> str:
    if not isinstance(value, str):
        return f"of type {type(value).__name__}"
    cut = value if len(value) <= 80 else value[:77] + "..."
    return '"' + _CONTROL.sub("\ufffd", cut) + '"'


MAIN_WORKFLOW = "main"  # the one of a tenant's deployed workflows that is meant where none is named
BYTE_ORDER_MARK = "\ufeff"
CLASS_NAME = "TenantWorkflow"  # of the class that runs, by default
_HANDLER = ":queue"  # after a class's name: not its `run` is called, but its `queue`, with a batch of messages
# Not the ten characters of str.splitlines: a form feed or U+2028 ends no line of code.
LINE_END = re.compile(r"\r\n|\r|\n")


def handler_class(class_name: str) -> str:
    """How an instance that handles a batch of messages names the class of its workflow."""
    return class_name if is_handler(class_name) else class_name + _HANDLER


def is_handler(class_name: str) -> bool:
    """Whether an instance of this class name handles a batch of messages."""
    return class_name.endswith(_HANDLER)


def workflow_class(class_name: str) -> str:
    """The name of the class itself."""
    return class_name.removesuffix(_HANDLER)


def without_byte_order_mark(source: str) -> str:
    """The source without the byte order mark that it may start with: Python drops it from files, but not from text."""
    return source.removeprefix(BYTE_ORDER_MARK)


def source_lines(source: str) -> list[str]:
    """The lines of a source as the parser counts them, without their ends; one at the end of the source starts no
    further line.
    """
    found = LINE_END.split(source)
    return found[:-1] if found[-1] == "" else found


def source_lines_with_ends(source: str) -> list[str]:
    """The same with a newline at the end of each, as `linecache` stores a file."""
    return [f"{line}\n" for line in source_lines(source)]
