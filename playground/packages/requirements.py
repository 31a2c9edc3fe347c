"""The operator's requirements file: exact versions with hashes, and nothing else.

Each requirement is `name==version`, with an optional environment marker and at least one `--hash=sha256:…`. So what is
installed is decided by this file alone: not by an index, a branch that moves or a folder of this machine. What else pip
would accept is refused with the line and what to do. `uv pip compile --generate-hashes` writes such files.

Limits: a file of `FILE_BYTES`, `PACKAGES_MOST` requirements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES = 4 * 1024 * 1024
PACKAGES_MOST = 1_000
LOCK = "`uv pip compile requirements.in --generate-hashes --no-emit-index-url -o requirements.txt` writes such a file"

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[A-Za-z0-9._,\s-]*\])?\s*==\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_COMMENT = re.compile(r"(^|\s)#.*$")
_EDITABLE = ("-e", "--editable")
_OTHER_FILES = ("-r", "--requirement", "-c", "--constraint")
_INDEXES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host")


class PackagesRefused(Exception):
    """The operator's packages can't be had; the message says which line or step failed, and what to do."""


@dataclass(frozen=True, slots=True)
class LockedSet:
    """A requirements file that is locked: its text, and the names in it."""

    path: Path
    text: str
    names: tuple[str, ...]


def read_requirements(path: Path) -> LockedSet:
    """Read a requirements file. Raises PackagesRefused."""
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        raise PackagesRefused(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PackagesRefused(f"{path} is not text in UTF-8") from None
    if len(data) > FILE_BYTES:
        raise PackagesRefused(f"{path} has {len(data):,} bytes, and the most is {FILE_BYTES:,}; name fewer packages")
    names = tuple(_locked_name(path, number, line) for number, line in _logical_lines(text))
    if not names:
        raise PackagesRefused(f"{path} names no package; leave the setting out to have none")
    if len(names) > PACKAGES_MOST:
        raise PackagesRefused(f"{path} has {len(names):,} requirements, and the most is {PACKAGES_MOST:,}")
    return LockedSet(path, text, names)


def normalised(name: str) -> str:
    """The name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The number of its first line, and the text, of each requirement or option, without comments."""
    begun, parts = 0, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        goes_on = line.endswith("\\") and not line.lstrip().startswith("#")
        part = _COMMENT.sub("", line.removesuffix("\\") if goes_on else line).strip()
        if part:
            begun = begun or number
            parts.append(part)
        if not goes_on:
            if parts:
                yield begun, " ".join(parts)
            begun, parts = 0, []


def _locked_name(path: Path, number: int, line: str) -> str:
    """The name in one requirement. Raises PackagesRefused unless it is locked."""
    place, shown = f"{path}, line {number}", line.split(" --hash", 1)[0][:80]
    word = re.split(r"[\s=]", line, maxsplit=1)[0]
    if word in _EDITABLE:
        raise PackagesRefused(
            f"{place}: `{shown}` is editable, so that its code could change; build a wheel of it, put it into an index "
            "and name its version"
        )
    if word in _OTHER_FILES:
        raise PackagesRefused(f"{place}: `{shown}` reads another file; put all requirements into this one. {LOCK}")
    if word in _INDEXES:
        raise PackagesRefused(
            f"{place}: `{word}` names an index; take the line out, and name the index in the environment (UV_INDEX_URL "
            "or PIP_INDEX_URL) or in the installer's configuration"
        )
    if word.startswith("-"):
        raise PackagesRefused(f"{place}: the option `{word}` can't be used here; take it out. {LOCK}")
    requirement = line.partition(";")[0].split(" --hash", 1)[0].strip()
    if "://" in requirement or "@" in requirement or requirement.startswith((".", "/")):
        raise PackagesRefused(
            f"{place}: `{shown}` names a URL, a repository or a folder; name a version from an index, with hashes. "
            f"{LOCK}"
        )
    pinned = _PINNED.fullmatch(requirement)
    if pinned is None:
        raise PackagesRefused(f"{place}: `{shown}` is not an exact version, as name==1.2.3 is. {LOCK}")
    if not _HASH.search(line):
        raise PackagesRefused(f"{place}: `{shown}` has no --hash=sha256:…; {LOCK}")
    return normalised(pinned[1])
