"""Who knows an instance's code: its snippet, or the source registered for its workflow's name."""

from collections.abc import Mapping
from typing import Any

from playground.engine.code.code import Code, CodeSource
from playground.store.protocol import InstanceRow, Store
from playground.workflows.errors import InvalidName, NonRetryableError


class NotRegistered(Exception):
    """The instance was made through a dispatcher that this process has not made yet, so its code can't be known now."""


class Sources:
    """Finds the code of instances.

    Args:
        store: where snippets are.
        env: what code that came as a snippet finds in `self.env`.
    """

    def __init__(self, store: Store, env: Mapping[str, Any]) -> None:
        self._store, self._env = store, env
        self._registered: dict[str, CodeSource] = {}

    def register(self, workflow: str, source: CodeSource) -> None:
        """From now on instances of this workflow's name get their code from `source`.

        Raises InvalidName when it is taken.
        """
        if workflow in self._registered:
            raise InvalidName(
                f'There is a dispatcher named "{workflow}" on this engine already; give each its own name.'
            )
        self._registered[workflow] = source

    async def load(self, row: InstanceRow) -> Code:
        """The code of an instance.

        Raises:
            NotRegistered: its dispatcher is not here yet.
            Exception: whatever the source of the code raises.
        """
        source = self._registered.get(row.workflow)
        if source is not None:
            return await source.load(row)
        if row.metadata is not None:
            raise NotRegistered(row.workflow)
        snippet = await self._store.snippet(row.snippet)
        if snippet is None:
            raise NonRetryableError(f'The code of instance "{row.id}" is not in the database any more.')
        return Code(snippet.source, row.class_name, env=self._env, version=row.snippet)
