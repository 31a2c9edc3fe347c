"""The table of settings: name, default, unit and help. `--help`, the About page and the docs are generated from it.

Every row is a command-line option (`--log-bytes`) and an environment variable (`PLAYGROUND_LOG_BYTES`).
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENV_PREFIX = "PLAYGROUND_"
_SWITCHES = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off", ""), False)}


# Where commands find a server, and what they show to it (terminal/places.py); no server reads them.
CLIENT_VARIABLES = frozenset(ENV_PREFIX + name for name in ("SERVER", "TENANT", "TOKEN", "START_TOKEN"))
# Kubernetes sets such variables for a service named "playground".
_KUBERNETES_VARIABLE = re.compile(r"PLAYGROUND_(SERVICE_|PORT_[0-9])")


def _row(
    default: Any,
    help: str,
    *,
    unit: str = "",
    public: bool = False,
    least: int = 0,
    most: int | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
    limit: bool | None = None,
) -> Any:
    rules = {
        "help": help,
        "unit": unit,
        "public": public,
        "least": least,
        "most": most,
        "choices": choices,
        "secret": secret,
    }
    rules["limit"] = type(default) is int if limit is None else limit
    return dataclasses.field(default=default, metadata=rules)


SHARED_DATABASES = ("postgresql://", "postgres://")  # of any number of nodes; others are of one process
_CORES = os.cpu_count() or 1  # asked several times a run, and the kernel takes 10 us to answer


@dataclass(frozen=True, slots=True)
class Settings:
    """Every limit and switch of a server.

    `public` rows are shown on the About page. Every number is a limit that a client or a run may reach, except with
    `limit=False`.
    """

    host: str = _row("127.0.0.1", "address to listen on")
    port: int = _row(8000, "port to listen on; 0 takes a free one", most=65_535, limit=False)
    database: str = _row(
        "sqlite:///playground.db",
        "database of the journals: sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database",
    )
    database_outage_seconds: int = _row(
        30, "how long a call waits for a PostgreSQL that is away, before it fails", unit="seconds", least=1, limit=False
    )
    node: str = _row(
        "",
        "name of this server among those that share its database; when empty, the machine's name and the port",
    )
    processes: int = _row(
        1, "processes that serve behind the one port; more than one needs a PostgreSQL database", least=1, limit=False
    )
    drain_seconds: int = _row(
        10,
        "how long running attempts may take to end when the server is stopped; no step begins meanwhile",
        unit="seconds",
        limit=False,
    )
    synchronous: str = _row("full", "how SQLite waits for the disk at a commit", choices=("full", "normal"))
    commit_each_step: bool = _row(
        False, "have the code wait for the commit of each step, instead of holding back only what leaves the worker"
    )
    workers: int = _row(
        0, "instances that may have a worker at once; 0 means twice the cores, at least 4", public=True, limit=False
    )
    allow_weak_sandbox: bool = _row(False, "serve on a kernel without Landlock, with the system-call filter only")
    unsafe_no_sandbox: bool = _row(
        False, "run tenant code with NO isolation; on a loopback address only, for your own code"
    )
    trusted_proxies: str = _row("", "addresses of proxies whose X-Forwarded-For is trusted, separated by commas")
    allowed_hosts: str = _row(
        "",
        "host names that requests may have in addition to localhost and that of the public URL, separated by commas; "
        ".example for all of a domain, * for any. When empty: no other on a loopback address without trusted proxies, "
        "any elsewhere",
    )
    public_url: str = _row("", "URL of the site's root, such as https://play.example, for links that are shared")
    embeddable: str = _row(
        "auto",
        "whether other sites may show shared code in a frame; auto: where public_url is set and names no loopback "
        "address. Never without isolation",
        choices=("auto", "yes", "no"),
    )
    operator_token: str = _row(
        "",
        "token for operators' pages. When empty: a server on a loopback address without trusted proxies and public URL "
        "makes one at each start and prints its link; elsewhere the pages are closed",
        secret=True,
    )

    secrets_key: str = _row(
        "",
        "keys that encrypt tenants' secrets in the database: 32 bytes each in base64, newest first, separated by "
        "commas",
        secret=True,
    )
    secrets_key_file: str = _row(
        "",
        "file of keys that encrypt tenants' secrets in the database, newest first, which only its owner may read; "
        "`playground secrets-key make FILE` makes it, or adds a newer key",
    )

    metrics: str = _row(
        "loopback",
        "who may read /metrics in addition to the operator: direct requests from this machine (loopback), "
        "nobody (token), everyone (open)",
        choices=("loopback", "token", "open"),
    )
    slow_commit_ms: int = _row(1_000, "a commit that takes longer is logged", unit="milliseconds", least=1, limit=False)

    source_bytes: int = _row(64 * 1024, "largest source", unit="bytes", public=True, least=1)
    value_bytes: int = _row(
        1024 * 1024, "largest params, event payload, step result or output", unit="bytes", public=True, least=1
    )
    step_bytes_limit: int = _row(
        100_000_000,
        "largest result of a step that is bytes, kept beside the journal",
        unit="bytes",
        public=True,
        least=1,
    )
    instance_bytes: int = _row(
        100 * 1024 * 1024, "most an instance's stored values may take", unit="bytes", public=True, least=1
    )
    log_bytes: int = _row(1_000_000, "log bytes kept of an instance", unit="bytes", public=True)
    stream_bytes: int = _row(
        4_000_000,
        "bytes kept of the values that one execution of an instance appends to streams",
        unit="bytes",
        public=True,
    )
    stream_names: int = _row(100, "streams that one execution may append to", public=True, least=1)
    tags_per_run: int = _row(20, "tags of one run", public=True, least=1)
    step_limit: int = _row(25_000, "most steps of one instance; sleeps and waits do not count", public=True, least=1)
    patch_limit: int = _row(
        200, "most names that one instance may call step.patched or step.deprecate_patch with", public=True, least=1
    )
    reply_seconds: int = _row(
        25, "how long the sender of an event may wait for the workflow's reply", unit="seconds", public=True, least=1
    )
    mcp_wait_seconds: int = _row(
        20,
        "how long a tool call over MCP waits for the end of its run, before it answers with the run's id",
        unit="seconds",
        public=True,
        least=1,
    )
    mcp_task_seconds: int = _row(
        2, "the same where the client takes a task for an answer", unit="seconds", public=True, least=1
    )
    mcp_poll_ms: int = _row(
        1_000, "how often a client over MCP is advised to ask for a task", unit="milliseconds", least=1, limit=False
    )
    children_limit: int = _row(10_000, "most children that one instance runs", public=True, least=1)
    child_depth: int = _row(8, "how deep children of children may go", public=True, least=1)
    children_per_minute: int = _row(
        600, "children that the anonymous instances of one address may start in a minute", public=True, least=1
    )
    test_file_bytes: int = _row(
        2 * 1024 * 1024, "most bytes of a journal that a test is written from", unit="bytes", public=True, least=1
    )
    journal_events: int = _row(250_000, "most events in the journal of one instance", public=True, least=1_000)
    ahead_entries: int = _row(
        2_000,
        "what a worker may have sent that is not durable yet, before the worker waits too",
        unit="commits",
        least=1,
    )
    ahead_bytes: int = _row(4 * 1024 * 1024, "the same in bytes", unit="bytes", least=64 * 1024)
    ahead_ms: int = _row(1_000, "the same in time", unit="milliseconds", least=1)
    attempt_cpu_seconds: int = _row(
        10, "CPU time one worker may use for an attempt", unit="seconds", public=True, least=1
    )
    worker_cpu_seconds: int = _row(
        3_600, "CPU time one worker may use in its whole life", unit="seconds", public=True, least=1
    )
    attempt_wall_seconds: int = _row(
        60,
        "longest attempt of an anonymous instance, and of an embedding program's; a longer one fails and is tried "
        "again",
        unit="seconds",
        public=True,
        least=1,
    )
    tenant_attempt_wall_seconds: int = _row(
        600, "longest attempt of an instance of code that a tenant deployed", unit="seconds", public=True, least=1
    )
    worker_memory_bytes: int = _row(160 * 1024 * 1024, "address space of a worker", unit="bytes", public=True, least=1)
    worker_losses: int = _row(5, "workers one attempt may lose in a row before its instance ends", public=True, least=1)
    idle_grace_ms: int = _row(
        10_000,
        "how long a worker that has only durable waits is kept",
        unit="milliseconds",
        public=True,
        limit=False,
    )
    starts_per_minute: int = _row(60, "instances one address may start in a minute", public=True, least=1)
    checks_per_minute: int = _row(300, "sources one address may have checked in a minute", public=True, least=1)
    check_seconds_per_minute: int = _row(
        30,
        "time that checks of sources may take in a minute for one address or tenant",
        unit="seconds",
        public=True,
        least=1,
    )
    snippets_per_minute: int = _row(60, "links one address may make in a minute", public=True, least=1)
    cards_per_minute: int = _row(
        60, "preview pictures of links that are drawn for one address in a minute", public=True, least=1
    )
    changes_per_minute: int = _row(
        600, "events, kills and other changes one address may ask for in a minute", public=True, least=1
    )
    reads_per_minute: int = _row(
        3_000,
        "pages and API responses one address may read in a minute; each 100 events of a run, each 64 KB of it and each "
        "KB of long code count as one more",
        public=True,
        least=1,
    )
    connections_per_address: int = _row(
        200, "connections one address may have open; trusted proxies are not counted", public=True, least=1
    )
    body_bytes: int = _row(
        16 * 1024 * 1024, "largest body of any request; most calls take less", unit="bytes", public=True, least=1024
    )
    head_bytes: int = _row(128 * 1024, "largest request line and headers", unit="bytes", public=True, least=1024)
    head_seconds: int = _row(
        15, "how long a request's headers may take to arrive", unit="seconds", public=True, least=1
    )
    body_seconds: int = _row(60, "how long a request's body may take to arrive", unit="seconds", public=True, least=1)
    stored_per_day: int = _row(
        1024 * 1024 * 1024,
        "most that the anonymous instances of one address may store in a day",
        unit="bytes",
        public=True,
        least=1,
    )
    free_disk_bytes: int = _row(
        256 * 1024 * 1024, "free space on the database's disk below which nothing new is started", unit="bytes"
    )
    running_per_address: int = _row(10, "instances one address may have running at once", public=True, least=1)
    running_per_tenant: int = _row(100, "instances one tenant may have running at once", public=True, least=1)
    streams_per_address: int = _row(30, "event streams one address may have open", public=True, least=1)
    stream_send_seconds: int = _row(
        20,
        "after how long without reading the reader of a stream is dropped; twice as long for other large responses",
        unit="seconds",
        least=1,
    )
    queue_length: int = _row(10_000, "anonymous instances that may be queued at once", public=True, least=1)
    chaos_per_hour: int = _row(20, "chaos runs one address may start in an hour", public=True, least=1)
    chaos_commits: int = _row(
        50,
        "commits before which one chaos run kills the worker, each in a run of its own",
        public=True,
        least=1,
        most=99,
    )
    chaos_running: int = _row(2, "runs of the chaos runs of one address that may have a worker at once", least=1)
    chaos_retention_hours: int = _row(
        24,
        "how long the runs of a chaos run are kept once they have ended",
        unit="hours",
        public=True,
        least=1,
        limit=False,
    )
    requests_per_tenant: int = _row(6_000, "requests with keys of one tenant in a minute", public=True, least=1)
    starts_per_second_per_tenant: int = _row(
        200, "executions of one tenant that may begin in a second", public=True, least=1
    )
    spare_slots: int = _row(
        1,
        "slots reserved for tenants and addresses without a running instance; none where there are fewer than 4 in all",
        limit=False,
    )
    queued_per_tenant: int = _row(100_000, "instances one tenant may have queued at once", public=True, least=1)
    bulks_per_tenant: int = _row(3, "operations on many runs of one tenant at once", public=True, least=1)
    bulk_runs: int = _row(100_000, "runs that one operation on many may be about", public=True, least=1)
    bulk_per_second: int = _row(
        500, "runs that a node's operations on many get to in a second, all tenants together", public=True, least=1
    )
    schedules_per_tenant: int = _row(1_000, "schedules one tenant may have", public=True, least=1)
    schedule_seconds: int = _row(
        60, "shortest time between two firings of a schedule", unit="seconds", public=True, least=60
    )
    debounces_per_instance: int = _row(
        1_000, "how often the start of one debounced instance may be put off", public=True, least=1
    )
    load_seconds: int = _row(30, "how long a dispatcher may take to load a tenant's code", unit="seconds", least=1)
    load_attempts: int = _row(
        20, "how often in a row a tenant's code may fail to load before its instance ends", least=1
    )
    calls_per_execution: int = _row(10_000, "calls of one binding that one execution may make", public=True, least=1)
    calls_in_flight: int = _row(100, "concurrent calls of one binding in one execution", public=True, least=1)
    call_bytes: int = _row(
        1024 * 1024, "largest arguments, and largest result, of a binding's call", unit="bytes", public=True, least=1
    )
    call_seconds: int = _row(30, "how long a binding's call may take", unit="seconds", public=True, least=1)
    fetch_allow: str = _row(
        "",
        "hosts that all code may ask with fetch, separated by semicolons: api.example.com, *.example.com, "
        "GET https://example.com:8443 or * for all. When empty: none but the built-in demonstration",
    )
    fetch_tenants: str = _row(
        "", "hosts that tenants may allow their own code beside those of fetch_allow, written as there"
    )
    fetch_reachable: str = _row(
        "",
        "networks that may be asked though they are not public, separated by commas, such as 10.1.0.0/16; otherwise "
        "an allowed host is asked at public addresses only",
    )
    fetches_per_execution: int = _row(1_000, "fetches that one execution may make", public=True, least=1)
    fetches_in_flight: int = _row(50, "concurrent fetches of one execution", public=True, least=1)
    fetch_seconds: int = _row(30, "how long a fetch may take, with its redirects", unit="seconds", public=True, least=1)
    fetch_bytes: int = _row(
        1024 * 1024,
        "largest answer that a fetch may have, also after it is decompressed",
        unit="bytes",
        public=True,
        least=1,
        most=1024 * 1024,
    )
    fetch_sent_bytes: int = _row(
        512 * 1024, "largest body that a fetch may send", unit="bytes", public=True, least=1, most=700_000
    )
    fetch_headers: int = _row(100, "most headers of a fetch, and of its answer", public=True, least=1)
    fetch_header_bytes: int = _row(
        32 * 1024, "largest headers of a fetch, and of its answer", unit="bytes", public=True, least=1, most=64 * 1024
    )
    fetch_redirects: int = _row(5, "redirects that a fetch follows", public=True, least=0, most=20)
    fetch_rules: int = _row(100, "hosts on the list of one tenant", public=True, least=1)
    ai_url: str = _row("", "address of the operator's models, which speak as OpenAI's: https://host/v1; empty for none")
    ai_key: str = _row("", "key to the operator's models", secret=True)
    ai_models: str = _row("", "the operator's models that code may call, separated by commas; * for any")
    ai_anonymous: bool = _row(
        False, "let code of the page call the operator's models, too, not only what tenants have deployed"
    )
    ai_hosts: str = _row(
        "",
        "hosts at which tenants may have models of their own, written as in fetch_allow; none when empty",
    )
    ai_tokens_per_day: int = _row(
        1_000_000,
        "tokens of the operator's models that one tenant, or all code of the page together, may use in a day",
        unit="tokens",
        public=True,
    )
    ai_tokens_per_run: int = _row(100_000, "tokens of models that one instance may use", unit="tokens", public=True)
    ai_max_tokens: int = _row(
        4_096, "longest answer of a model, which a call may ask to be shorter", unit="tokens", public=True, least=1
    )
    ai_seconds: int = _row(120, "how long a model may take to answer", unit="seconds", public=True, least=1, most=3_500)
    ai_answer_bytes: int = _row(
        16 * 1024 * 1024, "most that is read of a model's answer, as it is sent", unit="bytes", public=True, least=1
    )
    tools_hosts: str = _row(
        "",
        "hosts at which tenants may have servers of tools (MCP), written as in fetch_allow; none when empty",
    )
    tools_seconds: int = _row(
        60, "how long one request to a server of tools may take", unit="seconds", public=True, least=1
    )
    tools_answer_bytes: int = _row(
        4 * 1024 * 1024, "most that is read of an answer of a server of tools", unit="bytes", public=True, least=1024
    )
    tool_servers_per_tenant: int = _row(20, "servers of tools one tenant may have", public=True, least=1)
    kv_value_bytes: int = _row(64 * 1024, "largest value of a key in KV", unit="bytes", public=True, least=1)
    kv_bytes: int = _row(
        10 * 1024 * 1024,
        "most that the keys and values in KV of a tenant, or of an anonymous instance, may take",
        unit="bytes",
        public=True,
        least=1,
    )
    effects_per_instance: int = _row(1_000, "simulated side effects of one instance", public=True, least=1)
    delay_function_ms: int = _row(5_000, "time limit of a step's delay function", unit="milliseconds", least=1)
    retention_days: int = _row(
        7, "how long a finished instance is kept; 0 keeps it for ever", unit="days", public=True, limit=False
    )
    alert_url: str = _row(
        "", "webhook that is told of failed runs, a stuck queue and lost nodes; empty for none", secret=True
    )
    alert_secret: str = _row("", "what alerts are signed with, for their receiver to check", secret=True)
    alert_runs: str = _row("tenants", "whose failed runs alerts tell of", choices=("tenants", "all"))
    alert_queue_seconds: int = _row(
        60,
        "how long a run may be due before alerts call the queue stuck",
        unit="seconds",
        limit=False,
        least=1,
    )
    alert_repeat_minutes: int = _row(
        60, "how long until a queue that is still stuck is told of again", unit="minutes", limit=False, least=1
    )
    alert_seconds: int = _row(10, "how long the receiver of alerts has to answer", unit="seconds", limit=False, least=1)
    audit_days: int = _row(
        90, "how long the audit log keeps who changed what; 0 for ever", unit="days", public=True, limit=False
    )
    audit_entries: int = _row(
        100_000, "entries of the audit log that one tenant may have; older ones are removed", public=True, least=1
    )
    used_id_days: int = _row(
        3_650,
        "how long an id that a tenant chose can't be used again after its instance ended and was removed; 0 for ever",
        unit="days",
        limit=False,
    )
    workflows_per_tenant: int = _row(100, "named workflows one tenant may have deployed", public=True, least=1)
    versions_per_tenant: int = _row(
        1_000,
        "versions of its code one tenant may have; of more, the oldest without an unfinished instance are removed",
        public=True,
        least=2,
    )
    queues_per_tenant: int = _row(100, "queues of messages one tenant may have", public=True, least=1)
    messages_per_tenant: int = _row(
        100_000, "messages one tenant may have in its queues, dead ones too", public=True, least=1
    )
    messages_per_run: int = _row(
        1_000, "messages that a run without a tenant may have in its queue, dead ones too", public=True, least=1
    )
    deliveries_per_tenant: int = _row(
        100,
        "batches of messages handled at once of one tenant, or of all runs without one; more wait",
        public=True,
        least=1,
    )
    warm_workers: int = _row(
        16,
        "workers of tenants' deployed code that may wait for another run of the same tenant and code; 0 for none",
        limit=False,
    )
    warm_seconds: int = _row(30, "how long one of them waits", unit="seconds", least=1, limit=False)
    warm_executions: int = _row(100, "runs after which one of them is ended", least=1, limit=False)
    warm_growth_bytes: int = _row(
        32 * 1024 * 1024, "memory by which one of them may grow", unit="bytes", least=1, limit=False
    )
    tracing: bool = _row(
        False, "make spans of runs and send them by OTLP, as the OTEL_* variables say; needs the extra `otel`"
    )
    packages: str = _row(
        "",
        "requirements file of packages that code may import: exact versions with hashes, of which the wheels are "
        "installed at start",
    )
    packages_folder: str = _row(
        "",
        "folder that packages are installed in; when empty: playground-packages beside the SQLite database, or in the "
        "user's cache folder",
    )
    packages_preload: bool = _row(
        True, "import the packages once in the fork server, where that is safe, instead of in each worker"
    )
    parked_workers: int = _row(4, "isolated workers that are started in advance", least=1, limit=False)

    @property
    def encrypts_secrets(self) -> bool:
        """Whether tenants' secrets are encrypted in the database."""
        return bool(self.secrets_key or self.secrets_key_file)

    @property
    def slots(self) -> int:
        """How many instances may have a worker at once."""
        return self.workers or max(4, 2 * _CORES)


class BadSetting(ValueError):
    """A setting has a value that cannot be used; the message says which, where it came from and what is valid."""


def setting_label(name: str) -> str:
    """A setting's name for errors: with its variable, since the value may come from there."""
    return f"{name} ({ENV_PREFIX}{name.upper()})"


def is_setting(name: str) -> bool:
    """Whether there is a setting of this name."""
    return name in Settings.__dataclass_fields__


def parse_setting(name: str, text: str, origin: str) -> Any:
    """The value of setting `name` from the text of an option or environment variable.

    Raises:
        BadSetting: the text is not of the setting's type, or outside its range.
    """
    row = {row.name: row for row in dataclasses.fields(Settings)}[name]
    kind: type = type(row.default)
    if kind is bool:
        if text.strip().lower() not in _SWITCHES:
            raise BadSetting(f"{origin} is {text!r}; it takes yes or no")
        return _SWITCHES[text.strip().lower()]
    if kind is int:
        try:
            number = int(text)
        except ValueError:
            raise BadSetting(f"{origin} is {text!r}; it takes a whole number{_unit_phrase(row)}") from None
        if number < row.metadata["least"]:
            raise BadSetting(f"{origin} is {number}; the least it can be is {row.metadata['least']}{_unit_phrase(row)}")
        if row.metadata["most"] is not None and number > row.metadata["most"]:
            raise BadSetting(f"{origin} is {number}; the most it can be is {row.metadata['most']}{_unit_phrase(row)}")
        return number
    choices = row.metadata["choices"]
    if is_switch(choices) and (on := _SWITCHES.get(text.strip().lower())) is not None:
        return "yes" if on else "no"
    if choices and text not in choices:
        raise BadSetting(f"{origin} is {text!r}; it takes {' or '.join(choices)}")
    return text


def is_switch(choices: tuple[str, ...]) -> bool:
    """Whether yes and no are among the choices of a setting, so that its option without a value means yes."""
    return {"yes", "no"} <= set(choices)


def _unit_phrase(row: Any) -> str:
    return f" of {row.metadata['unit']}" if row.metadata["unit"] else ""


def _display_value(row: Any, value: Any) -> str:
    return "(set)" if row.metadata["secret"] else without_password(str(value))


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that are in environment variables; the others are absent.

    Raises:
        BadSetting: a variable has an invalid value, or has our prefix and is no setting.
    """
    known = {ENV_PREFIX + row.name.upper() for row in dataclasses.fields(Settings)}
    for name in sorted(environment.keys() - CLIENT_VARIABLES):
        if name.startswith(ENV_PREFIX) and name not in known and not _KUBERNETES_VARIABLE.match(name):
            near = difflib.get_close_matches(
                name.removeprefix(ENV_PREFIX), [it.removeprefix(ENV_PREFIX) for it in known], n=1
            )
            meant = f"did you mean {ENV_PREFIX}{near[0]}?" if near else "`playground --help` lists them all."
            raise BadSetting(
                f"{name[:80]} is not a setting; {meant} Take it out of the environment, or name one that there is"
            )
    given = {}
    for row in dataclasses.fields(Settings):
        variable = ENV_PREFIX + row.name.upper()
        if variable in environment:
            given[row.name] = parse_setting(row.name, environment[variable], variable)
    return given


def non_default_settings(settings: Settings) -> str:
    """The settings that differ from their defaults, as `name=value` in one text; of a secret only that it is set."""
    changed = [row for row in dataclasses.fields(Settings) if getattr(settings, row.name) != row.default]
    return " ".join(f"{row.name}={_display_value(row, getattr(settings, row.name))}" for row in changed) or "none"


def without_password(url: str) -> str:
    """A database's URL without its password and parameters, which may hold one, to be shown."""
    if url.startswith("sqlite:"):
        return url
    before, at, after = url.partition("?")[0].rpartition("@")
    scheme, _, who = before.partition("://")
    return f"{scheme}://{who.partition(':')[0]}@{after}" if at and who else url.partition("?")[0]


def limit_settings() -> tuple[str, ...]:
    """The names of the settings that are limits."""
    return tuple(row.name for row in dataclasses.fields(Settings) if row.metadata["limit"])


def public_rows(settings: Settings) -> list[dict[str, Any]]:
    """Name, value, unit and help of each public setting, for the About page."""
    values = {"workers": settings.slots}
    return [
        {
            "name": row.name,
            "value": values.get(row.name, getattr(settings, row.name)),
            "unit": row.metadata["unit"],
            "help": row.metadata["help"],
        }
        for row in dataclasses.fields(Settings)
        if row.metadata["public"]
    ]
