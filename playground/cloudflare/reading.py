"""A project for Cloudflare, read: which of its files is the workflow, by the settings that `wrangler` goes by.

Somebody else may have made it. A zip may be made to take all memory, to name places outside of it or to hold the same
name twice; it is refused with a sentence, before more than the limits is unpacked. Python is looked through for the
line that begins the class, and neither parsed nor run. The page reads projects by the same rules
(static/js/project.js), and tests/test_cloudflare_import.py gives both the same ones.
"""

import io
import json
import os
import re
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from playground.cloudflare.project import PARAMS_FILE
from playground.workflows.names import without_byte_order_mark

ZIP_BYTES = 16 * 1024 * 1024
ENTRIES = 2_000  # files and folders that are looked at
FILE_BYTES = 1024 * 1024  # of one file that is read
ALL_BYTES = 8 * 1024 * 1024  # of all of them
SETTINGS = ("wrangler.jsonc", "wrangler.json", "wrangler.toml")
# Folders of what is installed or made: large, and nobody's workflow.
PASSED_OVER = frozenset({"node_modules", "python_modules", "vendor", "dist", "build", "__pycache__", "__MACOSX"})

_STRING = r'"(?:[^"\\]|\\.)*(?:"|\Z)'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*(?:.*?\*/|.*\Z)", re.DOTALL)
_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\.*\w*)|import[ \t]+(\w+))", re.MULTILINE)


class BadProject(Exception):
    """It can't be read; the message is a sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class FoundWorkflow:
    """A workflow's source, where it stood, and what does not come with it, in sentences."""

    source: str
    class_name: str
    path: str
    title: str
    params: str | None
    notes: tuple[str, ...]


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder that matter, by their paths in it. Raises BadProject, OSError."""
    kept = _Kept(str(folder))
    for parent, folders, files in os.walk(folder):  # which follows no links
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        kept.count(len(folders) + len(files))
        for name in sorted(files):
            file = Path(parent) / name
            if is_wanted(name) and file.is_file() and not file.is_symlink():
                with file.open("rb") as opened:
                    kept.add(file.relative_to(folder).as_posix(), opened.read(FILE_BYTES + 1))
    return kept.files


def read_zip(data: bytes, name: str) -> dict[str, bytes]:
    """The files of a zip that matter, by their paths in it. Raises BadProject."""
    kept = _Kept(name)
    if len(data) > ZIP_BYTES:
        raise BadProject(f"{name} has {len(data):,} bytes; the most is {ZIP_BYTES:,}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            kept.count(len(archive.filelist))
            for entry in archive.filelist:
                if entry.is_dir():
                    continue
                path = PurePosixPath(entry.orig_filename)
                if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", entry.orig_filename):
                    raise BadProject(f"{name} names a place outside of it: {entry.orig_filename[:100]!r}.")
                if not is_wanted(path.name) or any(_is_passed_over(part) for part in path.parts[:-1]):
                    continue
                if entry.flag_bits & 1:
                    raise BadProject(f"{name} is encrypted. Unpack it, and give the folder.")
                with archive.open(entry) as opened:
                    kept.add(path.as_posix(), opened.read(FILE_BYTES + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, OSError, ValueError) as error:
        raise BadProject(f"{name} is no zip that can be read: {error}.") from None
    return kept.files


def is_wanted(name: str) -> bool:
    """Whether a file of this name is read."""
    return name.endswith(".py") or name in SETTINGS or name == PARAMS_FILE


def _is_passed_over(name: str) -> bool:
    return name in PASSED_OVER or name.startswith(".")


class _Kept:
    def __init__(self, name: str) -> None:
        self.name, self.files = name, dict[str, bytes]()
        self._entries = self._bytes = 0

    def count(self, entries: int) -> None:
        self._entries += entries
        if self._entries > ENTRIES:
            raise BadProject(f"{self.name} has more than {ENTRIES:,} files and folders. Give a project without others.")

    def add(self, path: str, data: bytes) -> None:
        if path in self.files:
            raise BadProject(f"{self.name} holds {path[:100]} twice.")
        if len(data) > FILE_BYTES:
            raise BadProject(f"{path[:100]} of {self.name} has more than {FILE_BYTES:,} bytes.")
        self._bytes += len(data)
        if self._bytes > ALL_BYTES:
            raise BadProject(f"The code in {self.name} has more than {ALL_BYTES:,} bytes.")
        self.files[path] = data


def find_workflow(files: Mapping[str, bytes], class_name: str | None = None) -> FoundWorkflow:
    """The workflow of a project: the one class that its settings name, or the one that is asked for.

    Raises:
        BadProject: there is none, or there are several.
    """
    settings_path = _settings_file(files)
    settings = _settings(settings_path, _text(files, settings_path))
    classes = _classes(settings, settings_path)
    if class_name is None:
        if len(classes) > 1:
            raise BadProject(f"It has the workflows {' and '.join(classes)}. Name one of them: --class-name NAME.")
        class_name = classes[0]
    elif class_name not in classes:
        raise BadProject(f"It has no workflow {class_name[:100]!r}, but {' and '.join(classes)}.")
    root = PurePosixPath(settings_path).parent
    main = settings.get("main")
    path = _file_of(files, root, main if isinstance(main, str) else "", class_name)
    source = without_byte_order_mark(_text(files, path))
    params = _params(files, (root / PARAMS_FILE).as_posix())
    name = settings.get("name")
    return FoundWorkflow(
        source, class_name, path, name if isinstance(name, str) else "", params, tuple(_left_out(files, path, source))
    )


def _settings_file(files: Mapping[str, bytes]) -> str:
    found = [PurePosixPath(path) for path in files if PurePosixPath(path).name in SETTINGS]
    if not found:
        raise BadProject(
            f"There is no {SETTINGS[0]}, {SETTINGS[1]} or {SETTINGS[2]} in it: it is no project of wrangler."
        )
    least = min(len(path.parts) for path in found)
    nearest = [path for path in found if len(path.parts) == least]
    if len({path.parent for path in nearest}) > 1:
        raise BadProject(f"It holds several projects: {', '.join(sorted(map(str, nearest)))[:200]}. Give one of them.")
    return str(min(nearest, key=lambda path: SETTINGS.index(path.name)))


def _settings(path: str, text: str) -> Mapping[str, Any]:
    try:
        found = tomllib.loads(text) if path.endswith(".toml") else json.loads(plain_json(text))
    except (ValueError, RecursionError) as error:
        raise BadProject(f"{path} can't be read: {error}.") from None
    if not isinstance(found, dict):
        raise BadProject(f"{path} holds no settings.")
    return found


def plain_json(text: str) -> str:
    """JSON of a text that may have comments and trailing commas."""
    without = _COMMENT.sub(lambda it: it[0] if it[0].startswith('"') else " ", without_byte_order_mark(text))
    return _COMMA.sub(lambda it: it[0] if it[0].startswith('"') else "", without)


def _classes(settings: Mapping[str, Any], path: str) -> list[str]:
    """The classes of its own workflows; one with a `script_name` is another Worker's."""
    named = settings.get("workflows")
    found = [
        it["class_name"]
        for it in (named if isinstance(named, list) else [])
        if isinstance(it, dict) and "script_name" not in it and isinstance(it.get("class_name"), str)
    ]
    classes = [name for name in dict.fromkeys(found) if name.isidentifier()]
    if not classes:
        raise BadProject(f"{path} names no workflow: `workflows` has no entry with a `class_name`.")
    return classes


def _file_of(files: Mapping[str, bytes], root: PurePosixPath, main: str, class_name: str) -> str:
    begins = re.compile(rf"^class[ \t]+{re.escape(class_name)}[ \t]*[(:]".encode(), re.MULTILINE)
    inside = [path for path in files if path.endswith(".py") and PurePosixPath(path).is_relative_to(root)]
    first = (root / main.removeprefix("./")).as_posix()
    for path in sorted(inside, key=lambda path: (path != first, path.count("/"), path)):
        if begins.search(files[path]):
            return path
    if main and not main.endswith(".py"):
        raise BadProject(f"Its code is {main[:100]}, and workflows here are written in Python.")
    raise BadProject(f"No file of it has a line `class {class_name}(…)`.")


def _text(files: Mapping[str, bytes], path: str) -> str:
    try:
        return files[path].decode("utf-8")
    except UnicodeDecodeError:
        raise BadProject(f"{path} is not UTF-8 text; save it as UTF-8.") from None


def _params(files: Mapping[str, bytes], path: str) -> str | None:
    try:
        text = files[path].decode("utf-8")
        json.loads(text)
    except (KeyError, ValueError, RecursionError):
        return None
    return text.strip()


def _left_out(files: Mapping[str, bytes], path: str, source: str) -> Iterator[str]:
    """Other files that it imports: a workflow here is one file."""
    folder = PurePosixPath(path).parent
    near = {PurePosixPath(other).relative_to(folder).parts[0].removesuffix(".py") for other in files
            if other.endswith(".py") and other != path and PurePosixPath(other).is_relative_to(folder)}  # fmt: skip
    named = dict.fromkeys((it[1] or it[2]).strip(".") for it in _IMPORT.finditer(source))
    for name in named:
        if name in near:
            yield f"It imports {name}, another file, which does not come along: a workflow here is one file."
