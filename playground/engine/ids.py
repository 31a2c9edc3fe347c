"""Where ids and secrets come from, passed in so that a test can name them."""

import secrets
import uuid
from typing import Protocol


class Ids(Protocol):
    def instance_id(self) -> str:
        """A fresh instance id."""

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""


class SystemIds:
    """Random ids (UUIDv4) and 192-bit tokens."""

    def instance_id(self) -> str:
        """A fresh instance id."""
        return str(uuid.uuid4())

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""
        return secrets.token_urlsafe(24)
