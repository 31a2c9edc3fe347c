"""The state of a call that has to be repeated with an answer (multi round-trip requests): which run it is.

The client carries it, so it is signed, with a secret that only the run's owner has: a tenant's key, or the run's token.
No node keeps anything, and a state of one tool, one run or one owner is worth nothing for another. One that is sent
again leads to the same run, whose waits each take one answer.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from playground.web.mcp.runs import Owner

STATE_CHARACTERS = 1_000
_DIGEST = hashlib.sha256


class WrongState(ValueError):
    """The state is not one that this server made for this call by this owner."""


def seal(owner: Owner, tool: str, arguments: Any, handle: str) -> str:
    """The state of a call of a tool whose run has this handle."""
    run = base64.urlsafe_b64encode(handle.encode()).decode().rstrip("=")
    return f"{run}.{_signature(owner, tool, arguments, handle)}"


def unseal(owner: Owner, tool: str, arguments: Any, state: str) -> str:
    """The handle that a state has. Raises WrongState."""
    run, _, signature = state.partition(".")
    try:
        handle = base64.urlsafe_b64decode(run + "=" * (-len(run) % 4)).decode() if len(state) < STATE_CHARACTERS else ""
    except (binascii.Error, UnicodeDecodeError, UnicodeEncodeError, ValueError):
        handle = ""
    if not handle or not hmac.compare_digest(_signature(owner, tool, arguments, handle).encode(), _bytes(signature)):
        raise WrongState
    return handle


def _signature(owner: Owner, tool: str, arguments: Any, handle: str) -> str:
    text = msgspec.json.encode([tool, arguments, handle], order="deterministic")
    return hmac.new(owner.state_key(handle), text, _DIGEST).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
