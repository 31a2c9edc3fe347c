"""`env.APPROVALS`: links by which somebody without an account answers a wait of this run (engine/answer_links.py).

    @step.do("ask Grace")
    async def ask():
        link = await self.env.APPROVALS.link("manager decides", label="Grace", expires_in="2 days")
        await self.env.EFFECTS.email("grace@example.com", "May Lin have a desk?", text=link["url"])

A link may be made before its wait begins, so that a step sends it and the run then waits. Nothing is stored for it, and
another attempt makes another link: the wait takes one answer, by whichever of them. A restart of the run ends the links
of its code, as those of anybody else.

Links are made in steps only, since code outside of them runs again in each replay. What a step returns or prints is
shown to whoever sees the run: send a link, and do not return it.
"""

from typing import Any

from playground.engine.answer_links import LABEL_CHARACTERS, AnswerLink, AnswerLinks, is_label, link_id
from playground.engine.bindings.binding import Binding, CallContext
from playground.workflows import durations, names
from playground.workflows import events as ev
from playground.workflows.errors import BindingError
from playground.workflows.events import StepKey

COUNT_MOST = 1_000_000
_IN_A_STEP = "APPROVALS.link is called in a step: outside of one, each replay would make another link."


class Approvals(Binding):
    """Makes links to waits of the run that calls."""

    async def link(
        self, wait: str, label: str = "", expires_in: Any = "365 days", count: int = 1, *, call: CallContext
    ) -> dict[str, Any]:
        """A link to the `count`-th wait of a name: `{"url", "id", "expires_at"}`.

        `label` says whom it is for, which the journal has with the answer. The link lasts as long as the wait does, and
        no longer than `expires_in`. Where the operator has not said under which address the site is reached
        (`public_url`), `url` begins with its path.
        """
        if call.step is None:
            raise BindingError(_IN_A_STEP)
        if not names.is_step_name(wait):
            raise BindingError("APPROVALS.link takes the name of a wait, as wait_for_event has it.")
        if not is_label(label):
            raise BindingError(f"label takes up to {LABEL_CHARACTERS} characters on one line.")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= COUNT_MOST:
            raise BindingError("count is that of the wait: 1 for the first of its name.")
        try:
            lasts = durations.parse(expires_in)
        except durations.InvalidDuration as refused:
            raise BindingError(f"expires_in: {refused}") from None
        if not durations.SECOND <= lasts <= durations.LONGEST:
            raise BindingError("expires_in takes 1 second to 365 days.")
        host = call.host
        host.check_name("The label of a link", label)
        row, until = host.row, host.now() + lasts
        link = AnswerLink.of_code(row, StepKey(ev.WAIT, wait, count), until, label)
        token = await AnswerLinks(host.store.tenants).seal(link)
        url = f"{host.limit('public_url').rstrip('/')}/answer/{token}"
        return {"url": url, "id": link_id(token), "expires_at": until}
