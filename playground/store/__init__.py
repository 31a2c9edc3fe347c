"""The journal store: `open_store(url)` returns a `Store` (protocol.py)."""

from playground.store.errors import JournalError, StoreError
from playground.store.open import open_store

__all__ = ["JournalError", "StoreError", "open_store"]
