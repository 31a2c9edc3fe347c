"""The `workers` module that tenants import, as in Cloudflare's Python runtime: classes, errors, names of types."""

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from playground.worker.context import Record
from playground.worker.entrypoint import EXPORTS
from playground.worker.steps import Steps

MODULE = "workers"
INNER = "workers.workflows"
# Cloudflare's Python SDK has these for Workers, which do not run here; a file that names one must load all the same.
OF_WORKERS = (
    "Blob", "BlobEnding", "BlobValue", "Body", "Context", "FetchKwargs", "FetchResponse", "File", "FormData",
    "FormDataValue", "Headers", "JSBody", "Request", "RequestInitCfProperties",
)  # fmt: skip
_ELSEWHERE = (
    "{name} is for Workers, which do not run here: it can be named in an annotation, but not made. "
    "A workflow reaches the world by self.env, in a step."
)
_MISSING = "cannot import name {name!r} from {module!r}; it has: {there}"

Handler = TypeVar("Handler", bound=Callable[..., Any])


def handler(function: Handler) -> Handler:
    """Marks a Worker's handler in Cloudflare's runtime; none is called here."""
    return function


def names() -> dict[str, Any]:
    """What the module has. `WorkflowStep` is the type of `step`, `WorkflowEvent` that of `event`."""
    return {
        **{export.__name__: export for export in EXPORTS},
        "WorkflowStep": Steps,
        "WorkflowEvent": Record,
        "WorkflowStepEvent": Record,
        "WorkflowStepContext": Record,
        "WorkflowStepConfig": dict[str, Any],
        **{name: _for_annotations(name) for name in OF_WORKERS},
        "handler": handler,
    }


def install() -> None:
    """Make `import workers` and `from workers.workflows import …` work; others are refused with those there are."""
    given = names()
    module: Any = types.ModuleType(MODULE, __doc__)
    inner: Any = types.ModuleType(INNER, __doc__)
    for made in (module, inner):
        made.__dict__.update(given)
        made.__all__ = list(given)
        made.__path__ = []
    module.workflows = inner
    sys.modules[MODULE], sys.modules[INNER] = module, inner
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Refusing)]
    sys.meta_path.append(_Refusing(sorted(given)))


class _Refusing:
    """Asked for what the module lacks, since `from workers import x` takes any such `x` for a module of a package."""

    def __init__(self, there: Sequence[str]) -> None:
        self._there = ", ".join(there)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Raises ImportError for what would stand in our module."""
        module, _, name = fullname.rpartition(".")
        if module in (MODULE, INNER) and not name.startswith("_"):
            raise ImportError(_MISSING.format(name=name, module=module, there=self._there), name=module)


def _for_annotations(name: str) -> type:
    def refuse(self: Any, *given: Any, **named: Any) -> None:
        raise TypeError(_ELSEWHERE.format(name=name))

    return type(name, (), {"__doc__": _ELSEWHERE.format(name=name), "__init__": refuse, "__module__": MODULE})
