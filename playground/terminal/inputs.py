"""What commands are given: JSON, files, steps.

JSON is checked here, so that a mistake is named with its place, and sent on as it was typed: no number loses a digit.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from playground.client import NOTHING, StepRef
from playground.terminal.outcomes import BadCommand

INPUT_BYTES = 64 * 1024 * 1024  # of one file or of stdin; the server has its own, smaller limits


def json_input(given: str | None, name: str) -> Any:
    """JSON that was typed, or is in a file (`@FILE`, `@-` for stdin), as it stands; NOTHING where none was given.

    Raises:
        BadCommand: it is not JSON; the message says where.
    """
    if given is None:
        return NOTHING
    origin, text = (given, read_text(given[1:])) if given.startswith("@") else (name, given)
    try:
        # Python's own way back to the bytes that were typed, where the locale is not UTF-8.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "" if given.startswith("@") else """; quote it for the shell, as in '{"order": 7}', or use @FILE"""
        raise BadCommand(f"{origin} is not JSON: {error.msg.lower()} at {where}{hint}") from None
    except UnicodeError:
        raise BadCommand(f"{origin} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise BadCommand(f"{origin} is not JSON: {error}") from None
    return msgspec.Raw(text.encode())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def read_text(file: str) -> str:
    """The text of a file, or of stdin for `-`. Raises BadCommand."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(INPUT_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(INPUT_BYTES + 1)
        if len(data) > INPUT_BYTES:
            raise BadCommand(f"{file} is larger than {INPUT_BYTES:,} bytes")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCommand(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except IsADirectoryError:
        raise BadCommand(f"{file} is a folder; name a file") from None
    except OSError as error:
        raise BadCommand(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise BadCommand(f"cannot read {file!r}: no file has such a name") from None


def step_of(name: str | None, count: int, kind: str) -> StepRef | None:
    """The step that options name."""
    return None if name is None else StepRef(name, count, kind)
