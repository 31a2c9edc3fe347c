"""A snippet's id: the same code and params have the same one, and no other has it."""

import base64
import hashlib

from playground.store.protocol import Snippet

ID_LENGTH = 26  # of base32, so 130 bits: two texts with one id are out of anybody's reach


def snippet_of(source: str, params: str | None, at: int) -> Snippet:
    """The snippet of this source and params text; `at` is epoch milliseconds."""
    digest = hashlib.sha256(f"{len(source)}:".encode())
    digest.update(source.encode("utf-8", "surrogatepass"))
    if params is not None:
        digest.update(b":" + params.encode("utf-8", "surrogatepass"))
    id = base64.b32encode(digest.digest()).decode().lower()[:ID_LENGTH]
    return Snippet(id, source, params, at)
