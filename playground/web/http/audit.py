"""Which requests have an entry in the audit log, and what it says (store/audit.py).

A call that has `audit` in the table of routes leaves one entry once it is known who asks: with its change, in the same
transaction; or, where it is refused, by itself with the refusal's code. A call that changed nothing leaves none, nor
does a request over a rate limit, of which there may be very many. Anonymous runs have none: who holds a run's token is
nobody the server knows, and a run's journal says what was done to it.

Entries have a client's address, as the log does (privacy: `--audit-days` says how long).
"""

from starlette.requests import Request
from starlette.responses import Response

from playground.store.audit import TARGET_CHARACTERS, AuditEntry, Pending, auditing, current
from playground.store.tables import TenantKey
from playground.web.calls import Call
from playground.web.context import Context
from playground.web.http.errors import TooMany
from playground.workflows.errors import WorkflowError
from playground.workflows.names import NAME_LENGTH

TENANT = "tenant"  # its name in addresses
AGENT = "agent.call"


async def serve_audited(context: Context, call: Call, request: Request) -> Response:
    """Answer a request with its view, whose change is written with an entry of the audit log."""
    params = request.path_params
    target = "/".join(str(value) for name, value in params.items() if name != TENANT)
    pending = Pending(
        AuditEntry(
            at=context.now(),
            tenant=_printable(params.get(TENANT, ""))[:NAME_LENGTH],
            actor="",
            address=context.addresses.client_of(request),
            action=call.audit,
            target=_printable(target)[:TARGET_CHARACTERS],
        )
    )
    with auditing(pending):
        try:
            return await call.view(context, request)
        except WorkflowError as refused:
            if pending.entry is not None and not isinstance(refused, TooMany):
                await context.store.audit.add(pending.entry._replace(outcome=refused.code))
            raise


def pending_of_agent(context: Context, request: Request, key: TenantKey) -> Pending:
    """The entry of what an agent does with a tenant's key by MCP, which is answered after its view has returned: what
    was changed, the change says (`entry_of_commit`).
    """
    address = context.addresses.client_of(request)
    pending = Pending(AuditEntry(context.now(), key.tenant, "", address, AGENT, ""))
    pending.identify(_printable(actor_of(key)))
    return pending


def actor_of(key: TenantKey) -> str:
    """What the audit log calls who carries a key."""
    return f"key {key.number} {key.name}".rstrip()


def identify_actor(actor: str) -> None:
    """The request that is served is allowed, and from this actor."""
    pending = current()
    if pending is not None:
        pending.identify(_printable(actor))


def name_target(target: str) -> None:
    """Say what the request that is served changes, where its address does not."""
    pending = current()
    if pending is not None:
        pending.name_target(_printable(target))


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
