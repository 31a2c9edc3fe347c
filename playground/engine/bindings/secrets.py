"""`env.SECRETS`: values that tenant code reads by name, and that are redacted wherever that instance would show
them.
"""

from collections.abc import Mapping

from playground.engine.bindings.binding import Binding
from playground.workflows.errors import BindingError

SHORTEST = 4  # characters; a shorter value would blot out ordinary text


class Secrets(Binding):
    """Secrets by name. They stay on the trusted side until the code asks for one.

    Raises:
        ValueError: a name or a value is no string, or a value is shorter than `SHORTEST` characters.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        for name, value in secrets.items():
            if not isinstance(name, str) or not isinstance(value, str) or len(value) < SHORTEST:
                raise ValueError(f"secret {name!r} must be a string of at least {SHORTEST} characters")
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(self._secrets)}>"

    def hidden(self) -> tuple[str, ...]:
        """What is to be redacted."""
        return tuple(self._secrets.values())

    async def get(self, name: str) -> str:
        """The secret of a name."""
        found = self._secrets.get(name) if isinstance(name, str) else None
        if found is None:
            raise BindingError(
                f"There is no secret {str(name)[:60]!r}; there are: {', '.join(sorted(self._secrets)) or 'none'}."
            )
        return found

    async def names(self) -> list[str]:
        """The names there are."""
        return sorted(self._secrets)
