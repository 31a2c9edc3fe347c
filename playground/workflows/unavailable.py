"""Advice on what workers do not have: packages, a network, files, a terminal, processes, threads, names of `workers`,
bindings of other platforms and methods that `step` lacks.

The lint gives it before a run (`analysis/rules/unavailable.py`), the worker with the error of code that tried
(`worker/unavailable.py`).
"""

import difflib
from collections.abc import Sequence

from playground.workflows.events import DO, SLEEP, WAIT

NETWORK, FILES, TERMINAL, PROCESSES, THREADS = "network", "files", "terminal", "processes", "threads"

OWN_PACKAGES = frozenset({"workers", "playground"})  # that workers have in addition to the standard library

_OPERATOR = "a binding in `self.env`, which the operator of the server adds"
_FETCH = (
    "Ask a host with `fetch`, in a step: `from workers import fetch`. The operator of the server, or the tenant, "
    "allows hosts; `https://playground.example` is always there."
)
_SERVICE = f"A service is asked with `from workers import fetch`, where its host is allowed, or by {_OPERATOR}."
MISSING_PACKAGES = (
    (
        "requests httpx aiohttp urllib3 httplib2 websockets grpc paramiko pycurl",
        f"There is no network either. {_FETCH}",
    ),
    (
        (
            "boto3 botocore stripe openai anthropic twilio sendgrid slack_sdk google azure redis pymongo psycopg "
            "psycopg2 asyncpg pymysql MySQLdb sqlalchemy kafka pika elasticsearch supabase mcp"
        ),
        f"There is no network either. {_SERVICE}",
    ),
    (
        "js pyodide pyodide_js _pyodide asgi cloudflare",
        "It belongs to Cloudflare's runtime; here there are `workers` and the standard library.",
    ),
    ("numpy pandas scipy polars", "For numbers there are `math`, `statistics` and `fractions`."),
    ("pydantic attr attrs msgspec", "For records there is `dataclasses`; a step returns a dict of them."),
    ("orjson ujson simplejson rapidjson", "For JSON there is `json`."),
    ("yaml toml", "For data there are `json` and `tomllib`."),
    ("dateutil pytz pendulum arrow", "For times there are `datetime` and `zoneinfo`."),
    (
        "tenacity backoff retry retrying stamina",
        'A step is tried again by its config: `{"retries": {"limit": 5, "delay": "10 seconds"}}`.',
    ),
    ("loguru structlog rich tqdm colorama", "What `print` and `logging` write is in the run's log."),
    ("celery rq dramatiq temporalio prefect dbos airflow inngest", "What it does, steps do here."),
    ("dotenv", 'A tenant\'s secrets are in `self.env.SECRETS`, all else comes in `event["payload"]`.'),
    ("typing_extensions", "Take it from `typing`."),
    ("PIL cv2 torch transformers", f"What must be computed elsewhere takes {_OPERATOR}."),
)
MISSING_NAMES = (
    (
        "import_from_javascript python_from_rpc python_to_rpc patch_env",
        "It belongs to Cloudflare's runtime; here there is no JavaScript.",
    ),
    ("waitUntil wait_until", "A step that is started and not awaited still finishes."),
)
# Cloudflare's Python SDK has these for Workers, which do not run here; a file that names one must load nevertheless.
TYPES_OF_WORKERS = (
    "Blob", "BlobEnding", "BlobValue", "Body", "Context", "FetchKwargs", "File", "FormData", "FormDataValue", "JSBody",
    "Request", "RequestInitCfProperties",
)  # fmt: skip
PACKAGE_ADVICE = {package: instead for packages, instead in MISSING_PACKAGES for package in packages.split()}
NAME_ADVICE = {name: instead for names, instead in MISSING_NAMES for name in names.split()}
# Bindings of other platforms, and the one of ours that does something similar.
FOREIGN_BINDINGS = {
    **dict.fromkeys(("DB", "D1", "CACHE", "BUCKET", "R2", "STORAGE"), "KV"),
    **dict.fromkeys(("QUEUE", "MAIL", "EMAIL", "AI", "BROWSER", "VECTORIZE", "HYPERDRIVE"), "EFFECTS"),
}

# By what is missing: a sentence that says so, what an attempt to use it does, what to do instead.
_MISSING = {
    NETWORK: ("Workers have no network", "this raises an error", _FETCH),
    FILES: (
        "Workers have no files",
        "this raises an error",
        'Take data from `event["payload"]`, and keep it in a step\'s result or in `self.env.KV`.',
    ),
    TERMINAL: (
        "Workers have no terminal",
        "this raises EOFError",
        'Take it from `event["payload"]`, or wait for it: `await step.wait_for_event("answer", "answer")`.',
    ),
    PROCESSES: (
        "Workers start no programs",
        "this raises an error or does nothing",
        f"What must run elsewhere takes {_OPERATOR}.",
    ),
    THREADS: (
        "Workers start no threads",
        "this raises RuntimeError",
        "Call the function plainly, or make it `async` and use `asyncio.gather`.",
    ),
}
ADVICE = {kind: f"{missing}; {raises}. {instead}" for kind, (missing, raises, instead) in _MISSING.items()}
ADVICE_AFTER_ERROR = {kind: f"{missing}. {instead}" for kind, (missing, _, instead) in _MISSING.items()}


ONLY_STANDARD = "Workers have the standard library"  # how the sentence begins
MODULES_NAMED = 12  # in one sentence


def package_missing(name: str, modules: Sequence[str] = ()) -> str:
    """The sentence that workers do not have a package, without a full stop.

    `modules` are those of the operator's packages, which they have in addition to the standard library.
    """
    there = [f"`{module}`" for module in modules if not module.startswith("_")]
    if not there:
        return f"{ONLY_STANDARD} only, and `{name}` is not in it"
    more = f" and {len(there) - MODULES_NAMED} more" if len(there) > MODULES_NAMED else ""
    return f"{ONLY_STANDARD} and {', '.join(there[:MODULES_NAMED])}{more}; `{name}` is not among them"


def type_of_workers(name: str) -> str:
    """What is said of a type that can only be named."""
    return (
        f"{name} is for Workers, which do not run here: it can be named in an annotation, but not made. A workflow "
        "reaches the world by `fetch` and `self.env`, in a step."
    )


def similar_binding(name: str) -> str | None:
    """The binding that does something similar to one of another platform; None where none is known."""
    return FOREIGN_BINDINGS.get(name) or FOREIGN_BINDINGS.get(name.rpartition("_")[2])


STEP_METHODS = {"do": DO, "sleep": SLEEP, "sleep_until": SLEEP, "wait_for_event": WAIT}  # with the kind of step
PATCH_METHODS = ("patched", "deprecate_patch")  # of `step`, that are no steps
METHODS = (*STEP_METHODS, *PATCH_METHODS, "tag")
# Methods in JavaScript's spelling, or called by another word.
METHOD_SPELLINGS = {
    "sleepUntil": "sleep_until",
    "waitForEvent": "wait_for_event",
    "run": "do",
    "wait": "wait_for_event",
    "wait_until": "sleep_until",
    "patch": "patched",
}
# Cloudflare's older calls for a rollback.
OLDER_METHODS = {
    "with_rollback": "Give the step its handler: `step.do(name, rollback=undo)`; it gets `ctx`, `error` and `output`.",
    "rollback_all": "Handlers that steps have as `rollback=` run by themselves when the run fails.",
}


def closest_method(name: str) -> str | None:
    """The method of `step` that a wrong name probably means."""
    near = difflib.get_close_matches(name, METHODS, n=1)
    return METHOD_SPELLINGS.get(name) or (near[0] if near and name not in OLDER_METHODS else None)


def method_advice(name: str) -> str:
    """One sentence for the author of `step.name`."""
    method = closest_method(name)
    return OLDER_METHODS.get(name) or (f"Did you mean `{method}`?" if method else f"It has {', '.join(METHODS)}.")
