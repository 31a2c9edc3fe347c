"""The `workers` module that tenants import, as in Cloudflare's Python runtime: classes, errors and types."""

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from playground.worker import fetching
from playground.worker.context import Record
from playground.worker.entrypoint import EXPORTS
from playground.worker.responses import FetchResponse, Headers, Response
from playground.worker.steps import Steps
from playground.workflows import unavailable

MODULE = "workers"
INNER = "workers.workflows"
_MISSING = "cannot import name {name!r} from {module!r}; it has: {there}"

Handler = TypeVar("Handler", bound=Callable[..., Any])


def handler(function: Handler) -> Handler:
    """Marks a Worker's handler in Cloudflare's runtime; here it does nothing."""
    return function


def module_names() -> dict[str, Any]:
    """The names of the module. `WorkflowStep` is the type of `step`, `WorkflowEvent` that of `event`."""
    return {
        **{export.__name__: export for export in EXPORTS},
        "WorkflowStep": Steps,
        "WorkflowEvent": Record,
        "WorkflowStepEvent": Record,
        "WorkflowStepContext": Record,
        "WorkflowStepConfig": dict[str, Any],
        **{name: _for_annotations(name) for name in unavailable.TYPES_OF_WORKERS},
        "handler": handler,
        "Headers": Headers,
        "Response": Response,
        "FetchResponse": FetchResponse,
        "fetch": fetching.fetch,
        "env": fetching.EnvOfRun(),
    }


def install() -> None:
    """Make `import workers` and `from workers.workflows import …` work. The error for another name lists the names."""
    exported = module_names()
    module: Any = types.ModuleType(MODULE, __doc__)
    inner: Any = types.ModuleType(INNER, __doc__)
    for made in (module, inner):
        made.__dict__.update(exported)
        made.__all__ = list(exported)
        made.__path__ = []
    module.workflows = inner
    sys.modules[MODULE], sys.modules[INNER] = module, inner
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _UnknownNameFinder)]
    sys.meta_path.append(_UnknownNameFinder(sorted(exported)))


class _UnknownNameFinder:
    """An import finder for names the module lacks: `from workers import x` looks for a submodule `x` then."""

    def __init__(self, exported: Sequence[str]) -> None:
        self._exported = ", ".join(exported)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Raises ImportError for a submodule of our module."""
        module, _, name = fullname.rpartition(".")
        if module in (MODULE, INNER) and not name.startswith("_"):
            raise ImportError(_MISSING.format(name=name, module=module, there=self._exported), name=module)


def _for_annotations(name: str) -> type:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise TypeError(unavailable.type_of_workers(name))

    return type(name, (), {"__doc__": unavailable.type_of_workers(name), "__init__": refuse, "__module__": MODULE})
