"""Host objects that tenant code may call: what a binding is, and which of its methods can be called."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from playground.workflows.errors import BindingError

CALL = "call"  # the parameter that receives the CallContext


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one execution may ask of a binding; None leaves it to the setting of the server.

    Args:
        calls: calls in all.
        in_flight: calls under way at once.
        bytes: size of the arguments, and of the result, when stored.
        seconds: how long one call may take.
    """

    calls: int | None = None
    in_flight: int | None = None
    bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method that tenants may call: its signature as they see it."""

    signature: inspect.Signature
    takes_call: bool

    def bind(self, shown: str, args: list[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Fit arguments to it. Raises BindingError, in the words of Python's TypeError."""
        if self.takes_call and CALL in kwargs:
            raise BindingError(f"{shown}{self.signature}: got an unexpected keyword argument '{CALL}'")
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BindingError(f"{shown}{self.signature}: {error}") from None


class Binding:
    """Derive from it; every public `async def` is callable from tenant code as `await self.env.NAME.method(...)`.

    Arguments and results are storable values (`workflows/values.py`). A parameter named `call` is not the caller's: it
    receives the `CallContext`. Raise `BindingError` or `NonRetryableError` to tell the tenant something; of any other
    exception the tenant learns only that the call failed, and the server's log has the rest. One instance may serve any
    number of tenants and calls at once.
    """

    limits: ClassVar[CallLimits] = CallLimits()
    methods: ClassVar[Mapping[str, Method]] = {}  # those that tenants may call, by name

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        functions = {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}
        cls.methods = {name: _method(it) for name, it in functions.items() if inspect.iscoroutinefunction(it)}

    def describe(self) -> Mapping[str, Any]:
        """What the worker is told, from which it makes `self.env.NAME`."""
        return {"methods": sorted(self.methods)}

    def target(self) -> "Binding":
        """The object whose methods tenants call."""
        return self


def _method(function: Callable[..., Any]) -> Method:
    _self, *parameters = inspect.signature(function).parameters.values()
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters if parameter.name != CALL
    ]
    return Method(inspect.Signature(shown), len(shown) < len(parameters))
