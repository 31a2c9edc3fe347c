"""The page of a signed link (engine/answer_links.py): one question for one person, who needs no account and no scripts.

It shows what the wait asks for, by the wait's own schema, and nothing else of the run. It is made for a telephone: one
column, one form, buttons that a thumb hits. It needs no worker: the answer is a commit, and the run goes on when a
worker plays it. Programs get JSON, and may send the payload as JSON with `?type=` where the wait takes several types.

Names of `answer.html`: `asked` (an `Asked`), `form` and `typed` (what stood in its fields) or None, `said` (what is
wrong with an answer), `left` (how long the link can be used, in milliseconds).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from playground.engine.answer_links import AnswerLink, link_id, sender_by_link
from playground.engine.delivery import is_held
from playground.store.rows import STEP_COMPLETED, STEP_OPEN, InstanceRow, StepRow
from playground.web import answer_forms
from playground.web.answer_forms import Form
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.errors import BadBody, NotJson, error_headers, error_json, error_status
from playground.web.http.refusals import log_refusal
from playground.web.http.responses import NO_STORE_BY_ACCEPT, json_response, wants_html
from playground.web.http.security import SCOPE_PRIVATE_ADDRESS
from playground.web.pages import pages
from playground.workflows import events as ev
from playground.workflows.errors import (
    InstanceNotFound,
    LinkExpired,
    LinkInvalid,
    NotSerialisable,
    PayloadMismatch,
    TooLarge,
    WaitOver,
    WorkflowError,
)
from playground.workflows.names import split_event_types

OPEN, ANSWERED = "open", "answered"
HEADERS = {**NO_STORE_BY_ACCEPT, "X-Robots-Tag": "noindex, nofollow"}

_NOT_OURS = (
    "This link was not made here, or a part of it is missing. Open it as it was sent to you, or ask for another one."
)
_REVOKED = "This link has ended with the key that made it. Ask whoever sent it for another one."
_GONE = "What this link asks about is not kept any more."
_EXPIRED = "The time to answer is over. Ask whoever sent you the link for another one."
_OVER = "This is not asked any more: its time ran out, or the run that asked has ended or begun anew."
_NOT_YET = "This is not asked yet. Open the link again in a moment."
_TAKEN = "Somebody else has answered this already. Your link has changed nothing."
_AGAIN = "You have answered this already. A link answers once."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a link asks. `state` is open or answered; `answered_at` epoch milliseconds."""

    link: AnswerLink
    row: InstanceRow
    step: StepRow
    state: str
    until: int
    answered_at: int | None = None

    @property
    def label(self) -> str:
        return self.step.key.label

    @property
    def form(self) -> Form:
        schema = (self.step.config or {}).get("schema")
        return answer_forms.form_of(schema, split_event_types(self.step.event_type or ""))


async def show(context: Context, request: Request) -> Response:
    """What a signed link asks, as a page with a form; how it was answered, once it is."""
    request.scope[SCOPE_PRIVATE_ADDRESS] = True
    try:
        asked = await _find(context, request)
    except WorkflowError as refused:
        return await _refused(context, request, refused)
    if not wants_html(request):
        return json_response(_as_json(asked), headers=HEADERS)
    return _page(context, request, asked)


async def send(context: Context, request: Request) -> Response:
    """Answer what a signed link asks, once."""
    request.scope[SCOPE_PRIVATE_ADDRESS] = True
    most = context.settings.value_bytes + bodies.OVERHEAD_BYTES
    asked: Asked | None = None
    sent = answer_forms.Sent({})
    try:
        await context.limits.changes.charge_request(request, context.addresses.client_of(request))
        asked = await _find(context, request)
        if asked.state != OPEN:
            raise WaitOver(_AGAIN)
        sent = await answer_forms.read_sent(request, most)
        type, payload = answer_forms.event_sent(request, asked.form, sent)
        by = sender_by_link(asked.link, request.path_params["token"])
        step = asked.step
        await context.engine.answer_wait(asked.row, step.key, step.started_seq, type, payload, by=by)
    except (PayloadMismatch, BadBody, NotJson, NotSerialisable, TooLarge) as wrong:
        if asked is None or not wants_html(request):
            return await _refused(context, request, wrong)
        log_refusal(context, request, wrong)
        said = (
            answer_forms.in_words(asked.form, wrong.details["reason"]) if "reason" in wrong.details else wrong.message
        )
        return _page(context, request, asked, typed=sent.fields, said=said, status=error_status(wrong))
    except WorkflowError as refused:
        return await _refused(context, request, refused)
    if not wants_html(request):
        return json_response(_as_json(await _find(context, request)), headers=HEADERS)
    return RedirectResponse(request.url.path, 303, headers=HEADERS)


async def _find(context: Context, request: Request) -> Asked:
    """What the link of the address asks. Raises LinkInvalid, LinkExpired, WaitOver, TooMany."""
    token = request.path_params["token"]
    link = await context.answer_links.unseal(token)
    if link is None:
        # As a wrong key: who guesses is slowed down, on all nodes together.
        await context.limits.changes.charge(context.addresses.client_of(request))
        raise LinkInvalid(_NOT_OURS)
    if link.tenant and not link.is_of_code:
        keys = await context.store.tenants.keys(link.tenant)
        if not any(key.number == link.made_by and key.revoked_at is None for key in keys):
            raise LinkInvalid(_REVOKED)
    try:
        row = await context.store.find(link.tenant, link.instance)
    except InstanceNotFound:
        raise LinkExpired(_GONE) from None
    step = await context.store.step(row, link.step)
    if step is None and link.is_of_code and link.generation == row.generation and row.status not in ev.FINAL_STATUSES:
        raise WaitOver(_NOT_YET)
    if step is None or not link.is_about(row, step):
        raise WaitOver(_OVER)
    until = min(link.until, step.until or link.until)
    if step.status == STEP_COMPLETED and step.received is not None:
        (event,) = await context.store.events(row.key, after=step.received - 1, limit=1)
        if event.data.get("by", {}).get("id") != link_id(token):
            raise WaitOver(_TAKEN)
        return Asked(link, row, step, ANSWERED, until, event.at)
    if step.status != STEP_OPEN or row.status in ev.FINAL_STATUSES:
        raise WaitOver(_OVER)
    if until <= context.now():
        raise LinkExpired(_EXPIRED)
    return Asked(link, row, step, OPEN, until)


def _page(
    context: Context,
    request: Request,
    asked: Asked,
    *,
    typed: Mapping[str, str] | None = None,
    said: str = "",
    status: int = 200,
) -> Response:
    names = {
        "asked": asked,
        "form": asked.form if asked.state == OPEN else None,
        "typed": typed or {},
        "said": said,
        "paused": asked.state == OPEN and is_held(asked.row, asked.step.key),
        "left": asked.until - context.now(),
        "refused": None,
    }
    return pages.html_response(context, request, "answer.html", names, status, dict(HEADERS))


async def _refused(context: Context, request: Request, error: WorkflowError) -> Response:
    """A refusal in the words and the form of this page, which has no way to the rest of the site."""
    log_refusal(context, request, error)
    status, headers = error_status(error), error_headers(error) | HEADERS
    if not wants_html(request):
        return json_response(error_json(error), status, headers)
    names = {
        "asked": None,
        "form": None,
        "typed": {},
        "said": "",
        "paused": False,
        "left": 0,
        "refused": {"title": _TITLES.get(error.code, "This can’t be answered now"), "message": error.message},
    }
    return pages.html_response(context, request, "answer.html", names, status, headers)


_TITLES = {
    "link.invalid": "This link does not work",
    "link.expired": "Too late to answer",
    "wait.over": "Nothing to answer here",
}


def _as_json(asked: Asked) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": asked.state, "asked": asked.label, "for": asked.link.label, "until": asked.until}
    if asked.state == OPEN:
        shown["types"] = split_event_types(asked.step.event_type or "")
        shown["schema"] = (asked.step.config or {}).get("schema")
        shown["form"] = msgspec.to_builtins(asked.form)
    else:
        shown["answered_at"] = asked.answered_at
    return shown
