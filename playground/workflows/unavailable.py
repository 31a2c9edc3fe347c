"""What workers do not have, and what there is instead, in words: said by the lint before a run, and beside the error of
one that tried.

What to write for names that `step` lacks: JavaScript's spelling, other words, Cloudflare's older rollback.
"""

import difflib

NETWORK, FILES, TERMINAL, PROCESSES, THREADS = "network", "files", "terminal", "processes", "threads"

OWN_PACKAGES = frozenset({"workers", "playground"})  # that workers have beside the standard library

_OPERATOR = "a binding in `self.env`, which the operator of the server adds"
_PRETEND = f'Pretend it: `await self.env.EFFECTS.record("request", url=…)`. A real one is {_OPERATOR}.'
_SERVICE = f"What must be reached is {_OPERATOR}; `self.env.EFFECTS.record(…)` pretends it."
INSTEAD_OF_PACKAGES = (
    (
        "requests httpx aiohttp urllib3 httplib2 websockets grpc paramiko pycurl",
        f"There is no network either. {_PRETEND}",
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
        "It is of Cloudflare's runtime; here there are `workers` and the standard library.",
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
    ("PIL cv2 torch transformers", f"What must be computed elsewhere is {_OPERATOR}."),
)
INSTEAD_OF_NAMES = (
    ("fetch Request handler", f"There is no network. {_PRETEND}"),
    (
        "WorkflowStep WorkflowEvent",
        "It is a type only: leave the annotation out, or import it under `if TYPE_CHECKING`.",
    ),
    ("DurableObject", "What must last is in a step's result or in `self.env.KV`."),
    ("env", "Take it from the workflow's object: `self.env`."),
    ("waitUntil wait_until", "A step that is started and not awaited still finishes."),
)
IN_PLACE_OF_PACKAGES = {package: instead for packages, instead in INSTEAD_OF_PACKAGES for package in packages.split()}
IN_PLACE_OF_NAMES = {name: instead for names, instead in INSTEAD_OF_NAMES for name in names.split()}
# Bindings of other platforms, and which of ours may do.
COMMON_BINDINGS = {
    **dict.fromkeys(("DB", "D1", "CACHE", "BUCKET", "R2", "STORAGE"), "KV"),
    **dict.fromkeys(("QUEUE", "MAIL", "EMAIL", "AI", "BROWSER", "VECTORIZE", "HYPERDRIVE"), "EFFECTS"),
}

# By what is lacking: that it is, what comes of trying, what there is instead.
_LACKING = {
    NETWORK: ("Workers have no network", "this raises an error", _PRETEND),
    FILES: (
        "Workers have no files",
        "this raises an error",
        'Take data from `event["payload"]`, and keep it in a step\'s result or in `self.env.KV`.',
    ),
    TERMINAL: (
        "Nobody types into a worker",
        "this raises EOFError",
        'Take it from `event["payload"]`, or wait for it: `await step.wait_for_event("answer", "answer")`.',
    ),
    PROCESSES: (
        "Workers start no programs",
        "this raises an error or does nothing",
        f"What must run elsewhere is {_OPERATOR}.",
    ),
    THREADS: (
        "Workers start no threads",
        "this raises RuntimeError",
        "Call the function plainly, or make it `async` and use `asyncio.gather`.",
    ),
}
ADVICE = {kind: f"{lacking}; {raises}. {instead}" for kind, (lacking, raises, instead) in _LACKING.items()}
ADVICE_AFTER = {kind: f"{lacking}. {instead}" for kind, (lacking, _, instead) in _LACKING.items()}


def without_package(name: str) -> str:
    """That workers do not have a package, without a full stop."""
    return f"Workers have the standard library only, and `{name}` is not in it"


def instead_of_binding(name: str) -> str | None:
    """Which binding may do what one of another platform does; None where none is known."""
    return COMMON_BINDINGS.get(name) or COMMON_BINDINGS.get(name.rpartition("_")[2])


STEP_METHODS = ("do", "sleep", "sleep_until", "wait_for_event")
MEANT = {
    "sleepUntil": "sleep_until",
    "waitForEvent": "wait_for_event",
    "run": "do",
    "wait": "wait_for_event",
    "wait_until": "sleep_until",
}
INSTEAD_OF_METHODS = {
    "with_rollback": "Give the step its handler: `step.do(name, rollback=undo)`; it gets `ctx`, `error` and `output`.",
    "rollback_all": "Handlers that steps have as `rollback=` run by themselves when the run fails.",
}


def method_meant(name: str) -> str | None:
    """The method that is probably meant by a name that is none."""
    near = difflib.get_close_matches(name, STEP_METHODS, n=1)
    return MEANT.get(name) or (near[0] if near and name not in INSTEAD_OF_METHODS else None)


def method_advice(name: str) -> str:
    """One sentence for whoever wrote `step.name`."""
    method = method_meant(name)
    return INSTEAD_OF_METHODS.get(name) or (
        f"Did you mean `{method}`?" if method else f"It has {', '.join(STEP_METHODS)}."
    )
