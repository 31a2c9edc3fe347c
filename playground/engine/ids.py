"""Where ids and secrets come from, passed in so that a test can name them."""

import secrets
import uuid
from typing import Protocol

NONCE_BYTES = 12


class Ids(Protocol):
    def instance_id(self) -> str:
        """A fresh instance id."""

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""

    def nonce(self) -> str:
        """A fresh short text that no other call gives, in whichever database."""


class SystemIds:
    """Random ids (UUIDv4), 192-bit tokens and 96-bit nonces."""

    def instance_id(self) -> str:
        """A fresh instance id."""
        return str(uuid.uuid4())

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""
        return secrets.token_urlsafe(24)

    def nonce(self) -> str:
        """A fresh short text that no other call gives, in whichever database."""
        return secrets.token_hex(NONCE_BYTES)
