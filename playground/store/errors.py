"""Errors of the store itself, and how they name a database.

Errors of operations (Fenced, InstanceNotFound) are in `workflows/errors.py`.
"""

from urllib.parse import urlsplit, urlunsplit

CLOSED = "the store is closed"


class StoreError(Exception):
    """The database cannot be opened, read or written. The message is one line: what, where, and what to do."""


class StoreInUse(StoreError):
    """Another process has the database open."""


class NodeLost(StoreError):
    """The lease of a node has expired: others may have taken over its instances, and it may own none until it joins
    again.

    `superseded`: another process has joined under its name, so it must not join again.
    """

    def __init__(self, message: str, *, superseded: bool = False) -> None:
        super().__init__(message)
        self.superseded = superseded


class QueueFull(Exception):
    """A tenant has reached its limit of queued instances (`queued`, `most`); the whole create was refused."""

    def __init__(self, tenant: str, queued: int, most: int) -> None:
        super().__init__(f"{queued} instances of tenant {tenant!r} are queued, and {most} is the most")
        self.tenant, self.queued, self.most = tenant, queued, most


class ChildrenUnfinished(Exception):
    """Instances were to replace others that have not ended yet; none was created."""


class JournalError(Exception):
    """Events contradict their journal: a step started twice, an attempt of a step that never started.

    A bug in the code that made the events, not in the tenant's. Nothing was written.
    """


def shown_url(url: str) -> str:
    """A database's URL for people: without its password and parameters."""
    try:
        parts = urlsplit(url)
    except ValueError:  # which is reported when it is opened
        return url.partition("://")[0]
    user = parts.username
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"{user}@{host}" if user else host, parts.path, "", ""))
