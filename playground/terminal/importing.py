"""`playground import FOLDER|ZIP`: the workflow of a project for Cloudflare, as one file here.

The file is written and nothing else: neither is the code run, nor is a file that is there already written over.
"""

import argparse
import re
from pathlib import Path

from playground.cloudflare.reading import ZIP_BYTES, BadProject, FoundWorkflow, find_workflow, read_folder, read_zip
from playground.terminal.narration import DONE, WARNING, WAY, Line
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.screen import Screen


def import_project(options: argparse.Namespace, screen: Screen) -> int:
    """Carry out `playground import`; returns the exit status."""
    place = Path(options.project)
    try:
        files = _files(place)
    except BadProject as error:
        raise BadCommand(str(error)) from None
    except OSError as error:
        raise BadCommand(f"cannot read {place}: {error.strerror}") from None
    try:
        found = find_workflow(files, options.class_name)
    except BadProject as error:
        raise BadCommand(f"{place}: {error}") from None
    target = Path(options.to or f"{re.sub(r'[^a-z0-9]+', '_', found.title.lower()).strip('_') or 'workflow'}.py")
    try:
        with target.open("x", encoding="utf-8", newline="") as opened:
            opened.write(found.source)
    except FileExistsError:
        raise BadCommand(f"{target} is there already; name another file with --to FILE") from None
    except OSError as error:
        raise BadCommand(f"cannot write {target}: {error.strerror}") from None
    _show(place, target, found, screen)
    return OK


def _files(place: Path) -> dict[str, bytes]:
    if place.is_dir():
        return read_folder(place)
    with place.open("rb") as opened:
        return read_zip(opened.read(ZIP_BYTES + 1), place.name)


def _show(place: Path, target: Path, found: FoundWorkflow, screen: Screen) -> None:
    named = {"class_name": found.class_name, "from": found.path, "params": found.params, "notes": list(found.notes)}
    screen.json("imported", to=str(target), **named)
    screen.lines([Line(DONE, "", f"{target} has {found.class_name} of {place}, which stood in {found.path}")])
    screen.lines([Line(WARNING, "", note) for note in found.notes])
    screen.lines([Line(WAY, "", f"playground run {target} --follow")])
