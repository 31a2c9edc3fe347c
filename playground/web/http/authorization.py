"""Who may ask for what: anyone for an anonymous instance that they know the id of, a tenant's keys for what is its own,
the operator for all.

A wrong key is answered alike whether there is such a tenant or not.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Callable
from functools import partial

from starlette.requests import Request

from playground.store.audit import OPERATOR
from playground.store.rows import InstanceRow
from playground.store.tables import TenantKey
from playground.web.context import Context
from playground.web.http import tokens
from playground.web.http.audit import actor_of, identify_actor
from playground.web.http.errors import NoKey, NoOperatorToken, RevokedKey, WrongKey, WrongOperatorToken
from playground.web.http.hosts import host_name, is_loopback_name
from playground.web.instance_view import ANONYMOUS
from playground.workflows import names

TENANT = "tenant"  # the name of it in the address
# Of a journal: folded and shown they cost what a small page does, so each so many count as one more read.
EVENTS_PER_READ = 100
BYTES_PER_READ = 64 * 1024  # of an answer, which stays in memory until it is taken: so many alike

# What proxies and tunnels write about whom they bring.
_FORWARDING_HEADERS = (
    "x-forwarded-for",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "cf-connecting-ip",
)
_FROM_PROXY = (
    "A request from a trusted proxy's address (trusted_proxies, PLAYGROUND_TRUSTED_PROXIES) may have come from "
    "anywhere, so it needs the token also on this machine: let the scraper send it, or set PLAYGROUND_METRICS=open "
    "where nobody else can reach /metrics."
)
_NO_KEY = (
    "This is a tenant's. Send `Authorization: Bearer KEY`, with a key that the operator made with `playground "
    "tenant-key create NAME`."
)
_WRONG_KEY = "This is not a key of this tenant."
_NO_KEY_AT_ALL = "This is no tenant's key. Leave the header out to run code as nobody, or ask the operator for a key."
_NO_TOKEN_SET = " This server has none, so these pages are closed; start it with `--operator-token`."
_TOKEN_PRINTED = (
    " It was made at the start: open the operator's link that the server printed then, or send the token at its end."
)
_REVOKED = "This key has been revoked. Ask the operator for another."


async def find_instance(context: Context, request: Request) -> InstanceRow:
    """The instance of the address; a tenant's for a caller with one of its keys.

    Raises:
        InstanceNotFound, and as `tenant_of`
    """
    tenant = await authorized_tenant(context, request) if TENANT in request.path_params else ANONYMOUS
    return await context.views.find_instance(request.path_params["id"], tenant)


async def charge_reading(
    context: Context, request: Request, row: InstanceRow, *, events: int = 0, size: int = 0
) -> None:
    """Count the reading of so many events of an instance, or of an answer of so many bytes, as what it costs.

    Raises TooMany.
    """
    reads = events // EVENTS_PER_READ + size // BYTES_PER_READ
    if not reads:
        return
    if row.tenant:
        await context.limits.tenants.charge_request(request, row.tenant, reads)
    else:
        context.limits.reads.charge_request(request, context.addresses.client_of(request), reads)


def hold_stream(context: Context, request: Request) -> Callable[[], None]:
    """Take one of the answers that an address may have open for long; returns what gives it back. Raises TooMany."""
    address, limit = context.addresses.client_of(request), context.limits.streams
    limit.acquire(address)
    return partial(limit.release, address)


async def authorized_tenant(context: Context, request: Request) -> str:
    """The tenant of the address, for a caller with one of its keys.

    Raises:
        InvalidName: no tenant can be called so.
        NoKey, WrongKey, RevokedKey
        TooMany: too many wrong keys from this address, or requests of this tenant.
    """
    name = names.check_name(request.path_params[TENANT], TENANT)
    given = tokens.bearer_token(request)
    if given is None:
        raise NoKey(_NO_KEY)
    key = await context.store.tenants.key(tokens.digest(given))
    if key is None or key.tenant != name:
        await context.limits.changes.charge(context.addresses.client_of(request))
        raise WrongKey(_WRONG_KEY)
    if key.revoked_at is not None:
        raise RevokedKey(_REVOKED)
    await context.limits.tenants.charge_request(request, name)
    request.state.tenant_key = key
    identify_actor(actor_of(key))
    return name


async def tenant_of_key(context: Context, request: Request) -> str | None:
    """The tenant whose key the request carries, whatever its address; None: it carries none.

    Raises WrongKey, RevokedKey, TooMany.
    """
    given = tokens.bearer_token(request)
    if given is None:
        return None
    key = await context.store.tenants.key(tokens.digest(given))
    if key is None:
        await context.limits.changes.charge(context.addresses.client_of(request))
        raise WrongKey(_NO_KEY_AT_ALL)
    if key.revoked_at is not None:
        raise RevokedKey(_REVOKED)
    await context.limits.tenants.charge_request(request, key.tenant)
    request.state.tenant_key = key
    return key.tenant


def key_of(request: Request) -> TenantKey | None:
    """The tenant's key with which a request was let pass."""
    key: TenantKey | None = getattr(request.state, "tenant_key", None)
    return key


def sender_of(request: Request) -> dict[str, str]:
    """Who sends an event with a request that was let pass, as the journal has it: a tenant's key, or a run's owner."""
    key = key_of(request)
    return {"how": "owner"} if key is None else {"how": "key", "name": key.name or str(key.number)}


async def check_operator(context: Context, request: Request) -> None:
    """Let the request pass when it carries the operator's token: as a bearer's, as the password of a browser's own
    dialog, or in the cookie of a browser that was signed in with the link of the start.

    Raises:
        NoOperatorToken, WrongOperatorToken
        TooMany: too many wrong tokens from this address.
    """
    start = context.start_token
    if is_operator_browser(context, request):
        identify_actor(OPERATOR)
        return
    expected = start.token if start.operator else context.settings.operator_token
    given = tokens.bearer_token(request) or _basic_password(request)
    if not expected or given is None:
        how = _TOKEN_PRINTED if start.operator else "" if expected else _NO_TOKEN_SET
        raise NoOperatorToken("This is for the operator of this server, with the operator's token." + how)
    address = context.addresses.client_of(request)
    if not (await context.limits.changes.allowance(address)).left:
        # Refuses, so that who guesses learns nothing more, not even of the right one.
        await context.limits.changes.charge(address)
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        await context.limits.changes.charge(address)
        raise WrongOperatorToken("This is not the operator's token.")
    identify_actor(OPERATOR)


def is_operator_browser(context: Context, request: Request) -> bool:
    """Whether it comes from a browser that the link of the start has made the operator's."""
    return context.start_token.operator and context.start_token.is_signed_in(request)


def check_start_token(context: Context, request: Request) -> None:
    """Let the request pass that a server without isolation may answer. Raises NoStartToken, WrongStartToken."""
    if context.start_token.required:
        context.start_token.check_request(request)


async def check_metrics(context: Context, request: Request) -> None:
    """Let the request pass that may read /metrics, as the setting `metrics` has it. Raises as `check_operator`."""
    who = context.settings.metrics
    if who == "open" or (who == "loopback" and _is_direct(context, request)):
        return
    try:
        await check_operator(context, request)
    except NoOperatorToken as refused:
        if who != "loopback" or request.client is None or not context.addresses.is_trusted_proxy(request.client.host):
            raise
        raise NoOperatorToken(f"{refused.message} {_FROM_PROXY}") from None


def _is_direct(context: Context, request: Request) -> bool:
    """Whether it comes from this machine, was asked for under a name of it, and no proxy says that it brought it from
    elsewhere.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    try:
        peer = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    return (
        peer.is_loopback
        and is_loopback_name(host_name(request))
        and not context.addresses.is_trusted_proxy(request.client.host)
    )


def _basic_password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or len(encoded) > tokens.TOKEN_CHARACTERS_MAX * 2:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
