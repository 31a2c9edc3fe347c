"""Encryption at rest of tenants' secrets: AES-256-GCM under the operator's keys.

Ciphertext is stored as `enc1:KEY:DATA`: the key's id, then nonce and ciphertext in base64. It is not JSON, so nothing
that a tenant stores can be mistaken for it. The place of a value (table, tenant, name) is its associated data, so a
row that is copied to another place does not decrypt there. Nonces are random, so one key may encrypt about 2^32 values
(NIST SP 800-38D, 8.3): a thousand a second for 50 days; rotate keys before that.
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
# Plaintext is padded to a multiple, so that the length reveals nothing about a short secret, and ciphertext is always
# long enough to stay text (`encoding.raw_if_large`).
_BLOCK = 64
_ENCRYPTED = re.compile(r"enc1:([0-9a-f]{16}):([A-Za-z0-9+/=]+)\Z")


class BadKey(ValueError):
    """A key is invalid. The message says what a valid key is, and never shows one."""


class CannotDecrypt(StoreError):
    """A value was encrypted with a key that this server lacks, or was changed. With its key it can be read again."""


class Keyring:
    """The keys of a server, newest first: the first encrypts, all decrypt. Without keys nothing is encrypted.

    Args:
        keys: 32 bytes each.
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
        """Parse keys, newest first, separated by commas or white space; `#` begins a comment.

        Args:
            origin: where the text comes from, for the error.

        Raises:
            BadKey: a key is not 32 bytes in base64.
        """
        lines = (line.partition("#")[0] for line in text.splitlines())
        return cls([_key(word, origin) for line in lines for word in re.split(r"[,\s]+", line) if word])

    def encrypt(self, plain: str, *place: str | int) -> str:
        """Encrypt text for a place with the newest key; without keys return it unchanged."""
        if not self.ids:
            return plain
        data = plain.encode()
        data += b" " * (-len(data) % _BLOCK)  # JSON text may end in spaces
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.ids[0]].encrypt(nonce, data, _associated(place))
        return f"{PREFIX}{self.ids[0]}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, *place: str | int) -> str:
        """Decrypt text for a place; text that is not encrypted is returned unchanged.

        Raises:
            CannotDecrypt: its key is missing here, or it was encrypted for another place, or changed.
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
        """Whether text is encrypted with the newest key."""
        return bool(self.ids) and text.startswith(f"{PREFIX}{self.ids[0]}:")


def key_id(key: bytes) -> str:
    """The public id of a key, from which it cannot be derived."""
    return hashlib.sha256(b"playground secrets key\0" + key).hexdigest()[:16]


def new_key() -> str:
    """A random key in base64, as a file or an environment variable holds it.

    It never begins with `-`: a command line would take it for an option.
    """
    while (key := base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()).startswith("-"):
        pass
    return key


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
