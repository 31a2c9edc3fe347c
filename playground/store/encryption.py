"""Encryption at rest of what tenants keep secret: AES-256-GCM under the operator's keys, bound to the place where a
value stands.

Encrypted text is `enc1:KEY:DATA`: the id of its key, and nonce and ciphertext in base64. It is no JSON, so that nothing
a tenant stores can be taken for it; and since the place (table, tenant, name) is authenticated with it, a row that
somebody copies to another place is not decrypted there. Nonces are random, so a key may encrypt some 2^32 values (NIST
SP 800-38D, 8.3): a thousand a second for 50 days; rotate it in time.
"""

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

from playground.store.errors import StoreError

KEY_BYTES = 32
PREFIX = "enc1:"

_NONCE_BYTES = 12
# Plain text is filled up to a multiple, so that the length tells nothing of a short secret, nor looks like a short
# value (`encoding.kept`).
_BLOCK = 64
_ENCRYPTED = re.compile(r"enc1:([0-9a-f]{16}):([A-Za-z0-9+/=]+)\Z")


class BadKey(ValueError):
    """A key can't be used; the message says what a key is, and never shows one."""


class CannotDecrypt(StoreError):
    """A value was encrypted with a key that is not given, or was changed. Nothing is lost:
    with its key it can be read.
    """


class Keyring:
    """The keys of a server, newest first: the first encrypts, all decrypt. Without any, everything is kept as it is.

    Args:
        keys: of 32 bytes each.
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        found = {key_id(key): key for key in keys}
        self.ids: Sequence[str] = tuple(found)
        if found:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: 15 ms, and most servers need none

            self._ciphers: dict[str, Any] = {id: AESGCM(key) for id, key in found.items()}
        else:
            self._ciphers = {}

    def __repr__(self) -> str:
        return f"<Keyring {', '.join(self.ids) or 'without keys'}>"

    def __bool__(self) -> bool:
        return bool(self.ids)

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """The keys that stand in a text, newest first, separated by commas or white space; what follows a # on a line
        is left out.

        Args:
            origin: where the text comes from, for the error.

        Raises:
            BadKey: one of them is not 32 bytes in base64.
        """
        lines = (line.partition("#")[0] for line in text.splitlines())
        return cls([_key(word, origin) for line in lines for word in re.split(r"[,\s]+", line) if word])

    def encrypt(self, plain: str, *place: str | int) -> str:
        """Encrypted text for a place, under the newest key; without keys the text itself."""
        if not self.ids:
            return plain
        data = plain.encode()
        data += b" " * (-len(data) % _BLOCK)  # JSON text may end in spaces
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.ids[0]].encrypt(nonce, data, _associated(place))
        return f"{PREFIX}{self.ids[0]}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, *place: str | int) -> str:
        """The JSON text that was encrypted for a place; text that is not encrypted as it is.

        Raises:
            CannotDecrypt: its key is not among these, or it was encrypted for another place, or changed.
        """
        if not text.startswith(PREFIX):
            return text
        found = _ENCRYPTED.match(text)
        what = " ".join(map(str, place))
        if found is None:
            raise CannotDecrypt(f"the encrypted value of {what} is damaged; restore it from a backup, or set it anew")
        id, encoded = found.groups()
        if id not in self._ciphers:
            raise CannotDecrypt(
                f"the value of {what} is encrypted with key {id}, which this server was not given; add it to its keys"
            )
        try:
            data = base64.b64decode(encoded, validate=True)
            plain: bytes = self._ciphers[id].decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _associated(place))
        except Exception:  # noqa: BLE001 - InvalidTag, or data that is too short: either way it is not what was encrypted
            raise CannotDecrypt(
                f"the encrypted value of {what} was changed; restore it from a backup, or set it anew"
            ) from None
        return plain.decode().rstrip(" ")

    def is_current(self, text: str) -> bool:
        """Whether text is encrypted, with the newest key."""
        return bool(self.ids) and text.startswith(f"{PREFIX}{self.ids[0]}:")


def key_id(key: bytes) -> str:
    """What a key is called where it must not be shown."""
    return hashlib.sha256(b"playground secrets key\0" + key).hexdigest()[:16]


def new_key() -> str:
    """A fresh key, as it stands in a file or a variable."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _key(word: str, origin: str) -> bytes:
    try:
        key = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(
            f"{origin} has a key that is not {KEY_BYTES} bytes in base64; `playground secrets-key make FILE` makes a "
            "good one"
        )
    return key


def _associated(place: Sequence[str | int]) -> bytes:
    return json.dumps(place, ensure_ascii=True, separators=(",", ":")).encode()
