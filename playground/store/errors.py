"""What goes wrong with a store itself. Refused operations (Fenced, InstanceNotFound) are in `workflows/errors.py`."""


class StoreError(Exception):
    """The database can't be opened, read or written. The message is one line: what, where, and what to do."""


class StoreInUse(StoreError):
    """Another process has the database."""


class NodeLost(StoreError):
    """The lease of a node is over: others may have taken over what it owned, and it may own nothing more before it
    joins again.

    `superseded`: another process has joined under its name, so that it must not.
    """

    def __init__(self, message: str, *, superseded: bool = False) -> None:
        super().__init__(message)
        self.superseded = superseded


class QueueFull(Exception):
    """A tenant has as many instances queued as it may (`queued`, `most`), so none of a create was made."""

    def __init__(self, tenant: str, queued: int, most: int) -> None:
        super().__init__(f"{queued} instances of tenant {tenant!r} are queued, and {most} is the most")
        self.tenant, self.queued, self.most = tenant, queued, most


class ChildrenUnfinished(Exception):
    """Instances were to be created in place of others that have not ended yet; none was made."""


class JournalError(Exception):
    """Events that can't follow from their journal: a step started twice, an attempt of a step never started.

    A bug of whoever made the events, not of the tenant. Nothing was written.
    """
