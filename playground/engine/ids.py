"""Where ids and secrets come from, passed in so that a test can name them."""

import secrets
from collections.abc import Sequence
from typing import Protocol

NONCE_BYTES = 12
UUID_BYTES = 16

# By a random digit: the variant of RFC 9562 leaves two of its bits.
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Ids(Protocol):
    def instance_ids(self, count: int) -> Sequence[str]:
        """So many fresh instance ids."""

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""

    def nonces(self, count: int) -> Sequence[str]:
        """So many fresh short texts that no other call gives, in whichever database."""


class SystemIds:
    """Random ids (UUIDv4), 192-bit tokens and 96-bit nonces.

    A token never begins with `-`: a command line would take it for an option.
    Those of a batch are cut from one piece of randomness: to ask the kernel for each took a quarter of a batch's time.
    """

    def instance_ids(self, count: int) -> Sequence[str]:
        """So many fresh instance ids."""
        return [
            f"{it[:8]}-{it[8:12]}-4{it[13:16]}-{_VARIANTS[it[16]]}{it[17:20]}-{it[20:]}"
            for it in _random_texts(UUID_BYTES, count)
        ]

    def token(self) -> str:
        """A fresh secret that cannot be guessed."""
        while (token := secrets.token_urlsafe(24)).startswith("-"):
            pass
        return token

    def nonces(self, count: int) -> Sequence[str]:
        """So many fresh short texts that no other call gives, in whichever database."""
        return _random_texts(NONCE_BYTES, count)


def _random_texts(size: int, count: int) -> list[str]:
    """So many random texts, each of `size` bytes in hexadecimal."""
    text, width = secrets.token_hex(size * count) if count else "", size * 2
    return [text[begin : begin + width] for begin in range(0, len(text), width)]
