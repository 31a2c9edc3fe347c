"""What a callback asks for by the names of its parameters: the step context, and results of earlier decorated steps."""

import inspect
import types
from collections.abc import Callable
from typing import Any

CTX = "ctx"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def names(callback: Callable[..., Any]) -> list[str]:
    """The parameters that a callback may be given by name, but for the step context."""
    return [
        parameter.name for parameter in _parameters(callback) if parameter.kind in _BY_NAME and parameter.name != CTX
    ]


def wanted(callback: Callable[..., Any], known: Callable[[str], bool], positional: int = 0) -> tuple[list[str], bool]:
    """The dependencies a decorated callback names, in order, and whether it takes the step context.

    The first `positional` parameters are filled by a legacy `depends` list. A parameter with a default keeps it.

    Raises:
        TypeError: a parameter is neither `ctx` nor a decorated step that is `known`.
    """
    names, takes_ctx = [], False
    for place, parameter in enumerate(_parameters(callback)):
        if parameter.name == CTX and parameter.kind in _BY_NAME and place >= positional:
            takes_ctx = True
        elif place < positional or parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        elif parameter.kind in _BY_NAME and known(parameter.name):
            names.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty:
            raise TypeError(f"Received unexpected parameter {parameter.name}")
    return names, takes_ctx


def given_context(callback: Callable[..., Any]) -> Callable[[Any], Any]:
    """A callback of the direct form as a function of the step context: given to it first, as `ctx=`, or not at all."""
    code = callback.__code__ if type(callback) is types.FunctionType and not hasattr(callback, "__wrapped__") else None
    if code is not None and code.co_argcount == 0 and code.co_kwonlyargcount == 0:
        return lambda ctx: callback()  # the usual case, told without making a signature
    parameters = _parameters(callback)
    first = bool(parameters) and parameters[0].kind in _POSITIONAL and _wants(parameters[0])
    if any(one.name == CTX and one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters):
        return (lambda ctx: callback(ctx, **{CTX: ctx})) if first else (lambda ctx: callback(**{CTX: ctx}))
    return callback if first else lambda ctx: callback()


def _wants(parameter: inspect.Parameter) -> bool:
    return parameter.name == CTX or parameter.default is inspect.Parameter.empty


def _parameters(callback: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(callback).parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature
        return []
