"""`playground export FILE --to FOLDER`: a workflow as a project that Cloudflare's `wrangler` deploys.

The source is looked at in the sandbox, as by `playground check`, and never run. A folder that holds anything already is
left as it is: what somebody has changed in it would be lost.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from playground.cloudflare.project import as_zip, differences, project_files, worker_name
from playground.engine.code.checker import Check, Checker
from playground.engine.code.project import NO_CLASS
from playground.opening import open_configured_sandbox
from playground.sandbox.channel import FairReading
from playground.sandbox.tiers import SandboxRefused
from playground.terminal.following import now_ms
from playground.terminal.inputs import json_input, read_text
from playground.terminal.narration import DONE, NOTE, WAY, Line, plain
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.places import Place
from playground.terminal.screen import Screen
from playground.workflows.errors import WorkflowError
from playground.workflows.titles import title_of

ZIP = ".zip"


async def export(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground export`; returns the exit status."""
    name, source, params = _source(options)
    given = json_input(options.params, "--params")
    if isinstance(given, msgspec.Raw):
        params = bytes(given).decode()
    target = Path(options.to)
    _check_target(target)
    found = await _check(source, options.class_name, place, name)
    if found.project is None:
        raise BadCommand(f"{name} has {NO_CLASS}")
    title = title_of(source) or Path(name).stem
    files = project_files(
        source,
        title=title,
        class_name=found.project.class_name,
        has_default=found.project.has_default,
        diagnostics=found.diagnostics,
        params=params,
    )
    _write(target, files, worker_name(title))
    _show(name, target, files, found, screen)
    return OK


def _source(options: argparse.Namespace) -> tuple[str, str, str | None]:
    """What it is called, its text, and the params that come with it."""
    if (options.file is None) == (options.example is None):
        raise BadCommand("name one thing to export: a FILE or --example NAME")
    if options.file is not None:
        return options.file, read_text(options.file), None
    from playground.examples import load

    examples = {it.slug: it for it in load()}
    if options.example not in examples:
        raise BadCommand(f"there is no example {options.example[:60]!r}; there are {', '.join(examples)}")
    example = examples[options.example]
    return example.slug, example.source, msgspec.json.encode(example.params).decode()


async def _check(source: str, class_name: str, place: Place, name: str) -> Check:
    """Raises BadCommand for a source that can't run, too."""
    settings = place.settings
    try:
        sandbox = await open_configured_sandbox(settings, lambda event, **fields: None)
    except SandboxRefused as error:
        raise BadCommand(str(error)) from None
    try:
        checker = Checker(sandbox, settings.source_bytes, settings.check_seconds_per_minute, now_ms, FairReading())
        found = await checker.check(source, class_name=class_name, cloudflare=True)
    except WorkflowError as error:
        raise BadCommand(f"{name} can't be checked: {error.message}") from None
    finally:
        await sandbox.close()
    errors = [it for it in found.diagnostics if it["severity"] == "error"]
    if errors:
        raise BadCommand(f"{name}:{errors[0]['line']}:{errors[0]['column']}: {plain(errors[0]['message'])}")
    return found


def _check_target(target: Path) -> None:
    if target.suffix == ZIP:
        if target.exists():
            raise BadCommand(f"{target} is there already; name another one, or remove it")
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadCommand(f"{target} is not empty, and nothing in it is written over; name a new folder")


def _write(target: Path, files: Mapping[str, str], folder: str) -> None:
    try:
        if target.suffix == ZIP:
            target.write_bytes(as_zip(files, folder))
            return
        for path, text in files.items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BadCommand(f"cannot write {error.filename}: {error.strerror}") from None


def _show(name: str, target: Path, files: Mapping[str, str], found: Check, screen: Screen) -> None:
    listed: list[Mapping[str, Any]] = differences(found.diagnostics)
    screen.json("exported", to=str(target), files=sorted(files), differences=listed)
    screen.lines([Line(DONE, "", f"{target} has {name} as a project for Cloudflare")])
    shown = plain(name)
    screen.lines([Line(NOTE, "", f"{shown}:{it['line']}: {it['code']}: {it['message']}") for it in listed])
    screen.lines([Line(NOTE, "", "to deploy it, in that folder"), Line(WAY, "", "uv run pywrangler deploy")])
