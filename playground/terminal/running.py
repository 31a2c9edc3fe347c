"""`playground run`: start a workflow here or on a server, follow it, and end as it ended.

Here it runs in the engine of a local database, with the sandbox of a server; a machine without isolation refuses, with
what to do. The token is in the state file before the id is printed. Ctrl-C, a lost terminal and kill -9 all leave the
run as its journal has it: `--resume ID` goes on from the last committed step.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from playground.client import Anonymous, RunOf, SourceRefused
from playground.terminal.following import Follower, follow_words, now_ms, run_safely
from playground.terminal.inputs import json_input, read_text
from playground.terminal.narration import FAILED, NOTE, WARNING, WAY, Line, plain
from playground.terminal.outcomes import BAD_USE, OK, BadCommand
from playground.terminal.places import Opened, Place, opened_place
from playground.terminal.screen import Screen
from playground.terminal.state import KnownRun

BEST_TIER = "A"


async def run(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground run`; returns the exit status."""
    if options.resume is not None:
        return await _resume(options, place, screen)
    params, source = json_input(options.params, "--params"), _source(options)
    async with opened_place(place, plays=True) as opened:
        try:
            made = await _create(options, opened, source, params)
        except SourceRefused as error:
            return _refused(options.file or "the source", error, screen)
        options.left = made.id  # for Ctrl-C, from here on
        _remember(place, made, options)
        _show_start(options, opened, made, screen)
        if place.server and not options.follow:
            return OK
        follower = Follower(place, made.id, screen, now_ms, shows_steps=options.follow)
        return await run_safely(follower.follow_anywhere(opened), place, made.id)


async def _resume(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    if options.file or options.example or options.workflow or not (options.params is options.schedule is None):
        raise BadCommand("--resume goes on with a run that there is; it takes no file, no params and no schedule")
    async with opened_place(place, plays=True) as opened:
        known = opened.known(options.resume)
        id = options.left = options.resume if known is None else known.id
        screen.json("run", run=id, where=place.key)
        screen.print(f"run {plain(id)} goes on")
        follower = Follower(place, id, screen, now_ms, shows_steps=options.follow)
        return await run_safely(follower.follow_anywhere(opened), place, id)


def _source(options: argparse.Namespace) -> str | None:
    given = [it for it in (options.file, options.example, options.workflow) if it is not None]
    if len(given) != 1:
        raise BadCommand("name one thing to run: a FILE, --example NAME or --workflow NAME")
    return None if options.file is None else read_text(options.file)


async def _create(options: argparse.Namespace, opened: Opened, source: str | None, params: Any) -> RunOf:
    if options.workflow is not None or opened.place.tenant:
        if options.workflow is None:
            raise BadCommand("a tenant runs what it has deployed: `playground deploy`, then `run --workflow NAME`")
        if options.schedule is not None:
            raise BadCommand(
                "a tenant's workflow is fired by the tenant's schedules: `playground schedules put`, `schedules run`"
            )
        return await opened.tenant().create(params, workflow=options.workflow, id=options.id, tags=options.tag)
    return await opened.client.create(
        source,
        example=options.example,
        params=params,
        id=options.id,
        skip_sleeps=options.skip_sleeps,
        tags=options.tag,
        schedule=options.schedule,
    )


def _remember(place: Place, made: RunOf, options: argparse.Namespace) -> None:
    token = made.token if isinstance(made, Anonymous) else None
    name = options.file or options.example or options.workflow
    place.runs.add(KnownRun(place.key, made.id, token or "", name, now_ms()))


def _show_start(options: argparse.Namespace, opened: Opened, made: RunOf, screen: Screen) -> None:
    place = opened.place
    screen.json("run", run=made.id, where=place.key, isolation=opened.isolation or None)
    name = plain(Path(options.file).name if options.file else options.example or options.workflow)
    screen.print(f"run {made.id}  {name}")
    if place.server:
        address = f"/tenants/{place.tenant}/instances/{made.id}" if place.tenant else f"/instances/{made.id}"
        screen.lines([Line(WAY, "", f"{place.server}{address}")])
        if not options.follow:
            screen.lines([Line(NOTE, "", "follow it with"), Line(WAY, "", follow_words(place, made.id))])
        return
    tier = opened.isolation if opened.isolation[:1] not in ("", BEST_TIER) else opened.isolation[:1]
    isolation = f", isolation tier {tier}" if tier else ", in the engine of another command"
    here = f"{place.shown}{isolation}, process {os.getpid()}"
    screen.lines([Line(NOTE, "", here)])


def _refused(file: str, error: SourceRefused, screen: Screen) -> int:
    screen.json("refused", file=file, code=error.code, message=error.message, diagnostics=error.diagnostics)
    for found in error.diagnostics:
        where = f"{file}:{found['line']}:{found['column']}"
        kind = FAILED if found["severity"] == "error" else WARNING
        screen.lines([Line(kind, "", f"{where}: {found['code']}: {plain(found['message'])}")])
    first = f"{error.message} `playground check {file}` shows all."
    screen.error(f"{file} is refused. {first}")
    return BAD_USE
