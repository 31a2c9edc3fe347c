"""`self.env.AI`: the stub of models, whose calls run on the trusted side (engine/bindings/ai.py)."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

Call = Callable[..., Coroutine[Any, Any, Any]]  # Bindings._call


class Models:
    """Calls models by name."""

    def __init__(self, name: str, call: Call) -> None:
        self._name, self._call = name, call

    def __repr__(self) -> str:
        return f"<binding {self._name}: run, models>"

    def __getattr__(self, method: str) -> Any:
        raise AttributeError(f"env.{self._name} has no method {method!r}; it has: run, models")

    def run(
        self, model: str, inputs: Any = None, options: Any = None, *, stream: Any = None
    ) -> Coroutine[Any, Any, Any]:
        """Call a model: `{"prompt"}` or `{"messages"}`, with tools as OpenAI's API takes them.

        `stream=True` appends the answer to the stream "tokens" of the step as it comes; a name takes another stream.
        """
        if stream is not None:
            options = {**(options if isinstance(options, Mapping) else {}), "stream": stream}
        return self._call(self._name, "run", (model, inputs, options), {})

    def models(self) -> Coroutine[Any, Any, Any]:
        """The names of the models that may be called."""
        return self._call(self._name, "models", (), {})
