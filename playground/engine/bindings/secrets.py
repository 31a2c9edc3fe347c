"""`env.SECRETS`: values that tenant code reads by name, and that are redacted wherever that instance would show
them.
"""

from collections.abc import Collection, Mapping

from playground.engine.bindings.binding import Binding
from playground.workflows.errors import BindingError

SHORTEST = 4  # characters; a shorter value would blot out ordinary text


class Secrets(Binding):
    """Secrets by name. They stay on the trusted side until the code asks for one; those `withheld` stay there for good.

    Raises:
        ValueError: a name or a value is no string, or a value is shorter than `SHORTEST` characters.
    """

    def __init__(self, secrets: Mapping[str, str], *, withheld: Collection[str] = ()) -> None:
        for name, value in secrets.items():
            if not isinstance(name, str) or not isinstance(value, str) or len(value) < SHORTEST:
                raise ValueError(f"secret {name!r} must be a string of at least {SHORTEST} characters")
        self._secrets, self._withheld = dict(secrets), frozenset(withheld)

    def withholding(self, names: Collection[str]) -> "Secrets":
        """The same, with these withheld too."""
        return Secrets(self._secrets, withheld=self._withheld | set(names))

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(self._secrets)}>"

    def hidden(self) -> tuple[str, ...]:
        """See `Binding`."""
        return tuple(self._secrets.values())

    async def get(self, name: str) -> str:
        """The secret of a name."""
        if isinstance(name, str) and name in self._withheld:
            raise BindingError(f"The secret {name!r} is sent by FETCH, AI or MCP to its hosts. Code never sees it.")
        found = self._secrets.get(name) if isinstance(name, str) else None
        if found is None:
            raise BindingError(
                f"There is no secret {str(name)[:60]!r}; there are: {', '.join(await self.names()) or 'none'}."
            )
        return found

    async def names(self) -> list[str]:
        """The names there are."""
        return sorted(self._secrets.keys() - self._withheld)
