"""Make a signed link to one wait of an instance (engine/answer_links.py), for somebody who has no account here."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.answer_links import LABEL_CHARACTERS, AnswerLink, is_label, link_id
from playground.store.rows import STEP_OPEN, InstanceRow, StepRow
from playground.web.api.operations import find_controlled_instance
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import key_of
from playground.web.http.errors import BadBody
from playground.web.http.responses import NO_STORE, json_response
from playground.web.open_waits import open_waits
from playground.workflows import durations
from playground.workflows import events as ev
from playground.workflows.errors import WaitNotFound
from playground.workflows.events import StepKey


class LinkBody(msgspec.Struct, forbid_unknown_fields=True):
    """`label`: whom it is for, which the journal says of an answer. `expires_in`: milliseconds, or a text such as
    "2 days"; by default it lasts as long as the wait does, and never longer.
    """

    label: str = ""
    expires_in: int | str | None = None


async def make(context: Context, request: Request) -> Response:
    """Make a link with which somebody answers this one wait, once, without an account."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_short(request, LinkBody)
    if not is_label(body.label):
        raise BadBody(f"`label` takes up to {LABEL_CHARACTERS} characters on one line.")
    name, count = request.path_params["name"], request.path_params["count"]
    step = await _open_wait(context, row, name, int(count) if count.isascii() and count.isdecimal() else 0)
    assert step.until is not None, "a wait has an end"
    until = step.until
    if body.expires_in is not None:
        try:
            lasts = durations.parse(body.expires_in)
        except durations.InvalidDuration as refused:
            raise BadBody(f"`expires_in`: {refused}") from None
        if lasts < durations.SECOND:
            raise BadBody("`expires_in` takes 1 second or more.")
        until = min(until, context.now() + lasts)
    key = key_of(request)
    made_by = None if key is None else key.number
    link = AnswerLink(row.tenant, row.id, step.key, step.started_seq, until, body.label, made_by)
    token = await context.answer_links.seal(link)
    path = f"/answer/{token}"
    shown = {
        "url": (context.public_url.base_for(request) or "") + path,
        "id": link_id(token),
        "label": body.label,
        "expires_at": until,
        "step": step.key.as_json(),
    }
    return json_response(shown, 201, NO_STORE)


async def _open_wait(context: Context, row: InstanceRow, name: str, count: int) -> StepRow:
    """The open wait of this name and count; one that a step's callback called where there is no other.

    Raises WaitNotFound.
    """
    found = await context.store.step(row, StepKey(ev.WAIT, name, count)) if count else None
    if found is None:
        state = await context.views.state(row)
        inner = [it for it in open_waits(state) if (it.key.name, it.key.count) == (name, count)]
        found = await context.store.step(row, inner[0].key) if inner else None
    if found is None or found.status != STEP_OPEN or row.status in ev.FINAL_STATUSES:
        raise WaitNotFound(
            f"Nothing called {name[:60]!r} waits for an event now (its call number {count}). The steps of the run say "
            "what waits."
        )
    return found
