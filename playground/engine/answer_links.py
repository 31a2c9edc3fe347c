"""Signed links: whoever has one may answer one wait for an event, once, and may do and see nothing else.

A link's token is what it is about, encrypted and authenticated (AES-256-GCM) with a key that all servers of a database
share: instance, the wait with the seq of its start (so that no later wait answers to it, a restarted one neither), when
the link ends, and whom it is for. It is not only signed, since the id of an anonymous run, if it could be read off the
link, would let its holder watch the whole run. Nothing is stored for a link: the wait itself takes one answer only.

The key is made by the first server that needs one and kept where tenants' secrets are, under a name that no tenant can
have, so that it is encrypted at rest as they are and goes along when a database is copied. A link that was made with a
tenant's key ends with that key.

Code makes links, too (engine/bindings/approvals.py), to waits that may not have begun. Such a link names the generation
of the run in place of the wait's start, and ends with it.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.store.rows import InstanceRow, StepRow
from playground.store.tables import TenantStore
from playground.workflows.events import StepKey

LABEL_CHARACTERS = 60
TOKEN_CHARACTERS_MAX = 2_000
KEY_BYTES = 32
KEY_HOLDER = "server:answer-links"  # no tenant's name has a colon
_NONCE_BYTES = 12
_ABOUT = b"playground answer link 1"  # authenticated with each token: that it is none of anything else
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class AnswerLink:
    """What a link is about. `made_by`: the number of the tenant's key that made it, None where there is no tenant.

    `started_seq` is that of the wait's start, 0 where code has made the link: then `generation` is the run's. `until`
    is epoch milliseconds.
    """

    tenant: str
    instance: str
    step: StepKey
    started_seq: int
    until: int
    label: str = ""
    made_by: int | None = None
    generation: int = 0

    @classmethod
    def of_code(cls, row: InstanceRow, step: StepKey, until: int, label: str) -> "AnswerLink":
        """A link that the code of a run makes, to a wait of its own that may not have begun."""
        return cls(row.tenant, row.id, step, 0, until, label, generation=row.generation)

    @property
    def is_of_code(self) -> bool:
        """Whether the run's own code has made it."""
        return self.started_seq == 0

    def is_about(self, row: InstanceRow, step: StepRow) -> bool:
        """Whether a step that has begun is the wait that it is about."""
        return self.generation == row.generation if self.is_of_code else self.started_seq == step.started_seq


class _Sealed(msgspec.Struct, array_like=True):
    tenant: str
    instance: str
    step: dict[str, Any]
    started_seq: int
    until: int
    label: str
    made_by: int | None
    generation: int = 0


class AnswerLinks:
    """Makes tokens of links and reads them."""

    def __init__(self, tenants: TenantStore) -> None:
        self._tenants = tenants
        self._cipher: Any = None

    async def seal(self, link: AnswerLink) -> str:
        """The token of a link."""
        sealed = _Sealed(
            *(link.tenant, link.instance, link.step.as_json(), link.started_seq, link.until, link.label, link.made_by),
            link.generation,
        )
        nonce = secrets.token_bytes(_NONCE_BYTES)
        data = nonce + (await self._key()).encrypt(nonce, msgspec.json.encode(sealed), _ABOUT)
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    async def unseal(self, token: str) -> AnswerLink | None:
        """The link of a token; None: no server of this database has made it."""
        if not 0 < len(token) <= TOKEN_CHARACTERS_MAX or not token.isascii():
            return None
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        from cryptography.exceptions import InvalidTag

        try:
            plain = (await self._key()).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _ABOUT)
        except (InvalidTag, ValueError):  # ValueError: it is too short to be one
            return None
        it = msgspec.json.decode(plain, type=_Sealed)
        step = StepKey.from_json(it.step)
        return AnswerLink(it.tenant, it.instance, step, it.started_seq, it.until, it.label, it.made_by, it.generation)

    async def _key(self) -> Any:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: 15 ms, and most servers need none

            kept = await self._tenants.secrets(KEY_HOLDER)
            if not kept:
                mine = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
                # The first one stands: of several servers that do this at once, the others find it.
                await self._tenants.set_secret(KEY_HOLDER, secrets.token_hex(8), mine, most=1)
                kept = await self._tenants.secrets(KEY_HOLDER)
            (key,) = kept.values()
            self._cipher = AESGCM(base64.b64decode(key))
        return self._cipher


def is_label(text: object) -> bool:
    """Whether a text can say whom a link is for."""
    return isinstance(text, str) and len(text) <= LABEL_CHARACTERS and text.isprintable()


def link_id(token: str) -> str:
    """What the journal calls a link, from which its token can't be found."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_LENGTH]


def sender_by_link(link: AnswerLink, token: str) -> Mapping[str, str]:
    """Who sends an event through a link, as the journal has it."""
    named = {"name": link.label} if link.label else {}
    return {"how": "link", **named, "id": link_id(token)}
