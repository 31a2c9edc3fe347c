"""The table of all lines of the server's log, from which docs/operating.md is generated, and the limit on their rate.

A line is something that an operator must know. `instance` is the number of an instance in the database: its id is a
secret, since whoever knows it may read the run. No line has tokens, keys or secrets, and text of tenants or clients is
escaped (log.py).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Log = Callable[..., None]

INFO, WARNING, ERROR = "info", "warning", "error"
MINUTE = 60.0
MAX_KEYS = 20_000  # remembered at once; of more, the one written longest ago is forgotten
MAX_LINES_PER_MINUTE = 600  # of one event, for any number of addresses


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of line: when it is written, what to do then, and its fields.

    `once_per`: of the lines with the same values in these fields, one is written per minute; the next one says in
    `more` how many were left out. None: every line is written.
    """

    event: str
    level: str
    when: str
    what_to_do: str
    fields: tuple[str, ...] = ()
    once_per: tuple[str, ...] | None = None


FIELDS: Mapping[str, str] = {
    "address": "where it listens, host and port",
    "advice": "what would isolate better",
    "after": "the version afterwards",
    "after_seconds": "how long the server waited",
    "before": "the version before",
    "bulk": "id of an operation on many runs",
    "call": "the binding's method",
    "calls": "calls that shared the commit",
    "cause": "how its process ended",
    "client": "address of the client",
    "code": "code of the refusal, or exit code of the process",
    "database": "the database, without its password",
    "descriptors": "files and connections that may be open",
    "error": "name and message of the error",
    "execution": "number of the execution",
    "failures": "failures in a row",
    "forks": "children it has forked",
    "free_bytes": "free bytes of the disk",
    "instance": "number of the instance in the database",
    "instances": "how many instances there were",
    "key": "id of the key",
    "layers": "layers of isolation in force",
    "least": "free bytes below which nothing new is started",
    "limit": "the setting whose limit was reached; `protocol` for a frame that no honest worker sends",
    "matched": "runs that fit its filter",
    "method": "HTTP method",
    "module": "a module of the operator's packages",
    "more": "such lines that were left out since the last one",
    "most": "how many there may be",
    "name": "name of the tenant's secret",
    "node": "name of the node, and how often it has joined",
    "number": "number of the version, or of the key",
    "open": "how many there are",
    "operation": "what is done to each of them",
    "packages": "names and versions",
    "path": "file or URL of the database",
    "reason": "why",
    "route": "the operation, as openapi.json names it",
    "running": "instances that have a worker",
    "schedule": "the name of a schedule",
    "seconds": "how long it took",
    "sentence": "what the tier means",
    "settings": "settings that differ from their defaults, without secrets",
    "signal": "signal that ended the process",
    "slots": "instances that may have a worker at once",
    "processes": "how many there are",
    "status": "HTTP status, status of the instance, or exit status of the process",
    "store": "the database",
    "streams": "event streams open",
    "synchronous": "how commits wait for the disk",
    "tenant": "name of the tenant",
    "text": "the text that it printed",
    "tier": "tier of isolation",
    "values": "values that were encrypted",
    "version": "version of the program, or of the tenant's code",
    "what": "the limit as a sentence",
    "whose": "address or tenant",
    "why": "the refusal as a sentence",
    "workers": "workers that were lost with it, or that still run",
    "workflow": "name of the tenant's workflow",
    "zygote": "name of the fork server",
}

LINES: tuple[Line, ...] = (
    # The server's life.
    Line("start", INFO, "The server has started.", "Nothing. Check that the settings are the intended ones.",
         ("version", "address", "tier", "store", "synchronous", "slots", "descriptors", "settings")),
    Line("descriptors_low", WARNING,
         "Nearly all file descriptors are in use; with none left, new connections wait for ever.",
         "Raise the hard limit (`ulimit -Hn`, LimitNOFILE= in the unit), or lower `connections_per_address`.",
         ("open", "most"), once_per=()),
    Line("any_host", WARNING,
         "The server accepts any Host header, so that a website can reach it through its visitors' browsers (DNS "
         "rebinding).", "Nothing where everybody may reach it anyway; else set `allowed_hosts` or `public_url`."),
    Line("stop", INFO, "The server received a signal to stop.", "Nothing: runs are kept, and go on at the next start.",
         ("running", "streams")),
    Line("stopped", INFO, "The server has stopped, with everything on the disk.", "Nothing.", ("seconds",)),
    Line("recovered", INFO, "A run that the last server left unfinished goes on.",
         "Nothing; after a crash there is one line for each run with a worker.", ("instance", "status")),
    # The sandbox.
    Line("packages", INFO, "These packages are there for code to import.", "Nothing.", ("packages", "seconds")),
    Line("sandbox.tier", INFO, "The isolation was tested at the start, and withstood the attacks.",
         "Read the advice before you open the server to the internet.", ("tier", "sentence", "layers", "advice")),
    Line("sandbox.refused", ERROR, "The server does not start, since tenant code would not be isolated well enough.",
         "What the reason says.", ("reason",)),
    Line("sandbox.no_namespaces", WARNING, "bubblewrap cannot make namespaces here.",
         "Allow user namespaces for tier A.", ("reason",)),
    Line("sandbox.no_network_namespace", WARNING,
         "bubblewrap cannot make a network namespace here; the system-call filter refuses every socket all the same.",
         "Allow network namespaces for one more layer.", ("reason",)),
    Line("sandbox.no_memory_group", INFO, "No memory cgroup can be made for all workers.",
         "Let the server write to its memory cgroup. Each worker has a limit of its own all the same.", ("reason",)),
    Line("sandbox.memory_unguarded", WARNING,
         "A fork server could not be moved into the memory cgroup, or could not be made the first to be killed when "
         "memory runs out.",
         "As for sandbox.no_memory_group.", ("zygote", "reason")),
    Line("sandbox.package_not_preloaded", INFO,
         "A module of the operator's packages is imported by each worker that needs it, not once before the forks.",
         "Nothing, unless it is slow: then leave it out.", ("module", "reason")),
    Line("sandbox.zygote_said", WARNING, "A fork server or bubblewrap printed something.",
         "Read it; the text is the playground's, not a tenant's.", ("zygote", "text"), once_per=("text",)),
    Line("sandbox.zygote_died", WARNING, "A fork server died; executions with its workers go on with others.",
         "Once: nothing. Repeatedly: look at the machine's memory and at the reason.",
         ("zygote", "reason", "workers")),
    Line("sandbox.zygote_recycled", INFO, "An old fork server was replaced.",
         "Nothing: every ten minutes or 5,000 forks.", ("zygote", "forks", "workers")),
    Line("sandbox.zygote_failed", ERROR, "A new fork server does not start; no new worker starts meanwhile.",
         "What the reason says; the start is retried.", ("zygote", "reason", "failures"), once_per=("reason",)),
    Line("sandbox.fork_failed", WARNING, "A worker could not be forked or locked.",
         "Look at the machine's memory and its limit of processes.", ("reason", "failures"), once_per=("reason",)),
    Line("worker_lost", WARNING, "A worker died by itself, or with its fork server; the run goes on with another.",
         "Of one address or tenant: its code causes it. Of many: look at the fork servers and at memory.",
         ("instance", "whose", "execution", "cause", "signal", "code"), once_per=("whose", "cause")),
    Line("warm_worker_lost", WARNING, "A warm worker did not begin its next run, which goes on with a new one.",
         "What an earlier run of the same code has left behind holds or ends it: the code causes it.",
         ("instance", "whose", "execution", "cause"), once_per=("whose", "cause")),
    Line("no_worker", WARNING, "No worker was available for an execution; it is retried.",
         "As for sandbox.zygote_failed.", ("instance", "reason"), once_per=("reason",)),
    # Limits and refusals.
    Line("limit", WARNING, "A limit was reached.",
         "Nothing, unless many honest users reach it: then raise the setting.",
         ("limit", "whose", "instance", "what", "status", "code", "method", "route"), once_per=("limit", "whose")),
    Line("refused", INFO, "A request was refused for another reason than a limit.", "Nothing; 5xx: as for `failed`.",
         ("status", "code", "method", "route", "client", "why"), once_per=("client", "code")),
    Line("stream.dropped", INFO, "A stream was closed, since its reader did not read.",
         "Nothing: the reader reconnects.",
         ("instance", "after_seconds"), once_per=("instance",)),
    # The database.
    Line("database_migrated", INFO, "The database was migrated to a newer schema.",
         "Nothing; an older version of the program can't open it any more.", ("path", "before", "after")),
    Line("secrets_plain", INFO, "The server has no key for tenants' secrets, so they are unencrypted in the database.",
         "Nothing where there are no tenants, or the disk and its backups are encrypted; else `secrets_key_file`."),
    Line("secrets_encrypted", INFO,
         "There is a first key for secrets, and the existing ones have been encrypted with it.",
         "Nothing, unless there is a reason. Older backups have them unencrypted.",
         ("values", "key", "seconds", "reason")),
    Line("database_error", ERROR, "A commit failed; nothing of it was written.",
         "Look at the disk. Runs go on once it can be written again.", ("error", "calls"), once_per=("error",)),
    Line("slow_commit", WARNING, "A commit took longer than `slow_commit_ms`.", "Look at what else writes to the disk.",
         ("seconds", "calls"), once_per=()),
    Line("database_away", ERROR,
         "The database does not respond; calls wait for it, and are carried out once it is back.",
         "Find out why. Calls that wait for `database_outage_seconds` fail.", ("error", "seconds"), once_per=()),
    Line("database_back", INFO, "The database responds again.", "Nothing.", once_per=()),
    Line("database_pooled", WARNING,
         "A pooler is between this server and PostgreSQL, so that nothing is prepared, and other nodes' commits are "
         "found by looking four times a second.", "Nothing; connect without it for streams that are quicker.",
         ("database",)),
    Line("disk_full", ERROR, "The database's disk is nearly full, so nothing new is started.",
         "Make room, or keep finished runs for fewer days.", ("free_bytes", "least"), once_per=()),
    Line("expiry_failed", ERROR, "Old instances could not be removed; this is retried in ten minutes.",
         "As for database_error.", ("error",)),
    Line("shrink_failed", WARNING, "Unused memory could not be returned to the system.",
         "Nothing; report it when memory grows.", ("error",), once_per=("error",)),
    Line("commit_failed", ERROR, "The events of an execution could not be written; the execution is recovered.",
         "As for database_error.", ("instance", "error"), once_per=("error",)),
    # Tenants.
    Line("tenant.key_made", INFO, "The operator made a key on the page.", "Nothing, if it was you.",
         ("tenant", "number", "client")),
    Line("tenant.deployed", INFO, "A tenant deployed a version of its code.", "Nothing.",
         ("tenant", "workflow", "version", "number", "client")),
    Line("tenant.version_deleted", INFO, "A tenant deleted a version of its code.", "Nothing.",
         ("tenant", "version", "client")),
    Line("queue.not_delivered", WARNING, "A batch of messages could not be given to its consumer.",
         "Nothing, if the tenant deploys it; the messages come again, and are kept as dead letters in the end.",
         ("tenant", "name", "error")),
    Line("queues_failed", ERROR, "The queues of messages could not be looked at; it is tried again.",
         "Report it: it is a fault of this program.", ("error",)),
    Line("tenant.queue_changed", INFO, "A tenant made, changed or deleted a queue.", "Nothing.",
         ("tenant", "name", "client")),
    Line("tenant.service_changed", INFO, "A tenant set or removed its models, or a server of tools.", "Nothing.",
         ("tenant", "name", "client")),
    Line("tenant.fetch_changed", INFO, "A tenant changed the list of hosts that its code may ask.", "Nothing.",
         ("tenant", "client")),
    Line("tenant.deleted", INFO, "The operator deleted a tenant with everything it had.", "Nothing, if it was you.",
         ("tenant", "instances", "client")),
    Line("tenant.migrated", INFO, "A tenant moved an instance to another version.", "Nothing.",
         ("tenant", "instance", "version", "client"), once_per=("tenant",)),
    Line("tenant.bulk", INFO, "A tenant began an operation on many runs.", "Nothing.",
         ("tenant", "bulk", "operation", "matched"), once_per=("tenant",)),
    Line("tenant.secret_set", INFO, "A tenant set a secret.", "Nothing.", ("tenant", "name", "client")),
    Line("tenant.secret_removed", INFO, "A tenant removed a secret.", "Nothing.", ("tenant", "name", "client")),
    Line("tenant.trigger_made", INFO, "A tenant made the address that starts its workflow.", "Nothing.",
         ("tenant", "client")),
    Line("tenant.trigger_removed", INFO, "A tenant removed that address.", "Nothing.", ("tenant", "client")),
    Line("load_failed", WARNING, "A dispatcher could not load a tenant's code; it is retried.",
         "Ask the operator of the dispatcher.", ("instance", "error"), once_per=("error",)),
    Line("no_dispatcher", WARNING, "An instance waits for a dispatcher that has not been created.",
         "Create the dispatcher in the program that embeds the engine.", ("instance", "reason"), once_per=("reason",)),
    Line("task_not_cancelled", WARNING, "A run was terminated, and a task that it had begun at a server of tools could "
         "not be cancelled there.", "Nothing: the task ends by itself.", ("instance", "error")),
    Line("binding_failed", ERROR, "A binding raised an unexpected error.", "Fix the binding.",
         ("instance", "call"), once_per=("call",)),
    # Faults of the server.
    Line("failed", ERROR, "A request failed with 500, by a fault of the server.",
         "Report it, with the traceback.", ("method", "route", "error"), once_per=("route", "error")),
    Line("unavailable", ERROR, "A request failed with 503: the database could not be used.", "As for database_error.",
         ("method", "route", "error"), once_per=("route", "error")),
    Line("execution_failed", ERROR, "An execution failed by a fault of the server; it is recovered.", "Report it.",
         ("instance", "error"), once_per=("error",)),
    Line("alerts_failed", WARNING, "Alerts could not be delivered; they are in the next round, in 15 s.",
         "Look at the receiver of `alert_url`, or at the database where the error names it.", ("error",),
         once_per=("error",)),
    Line("families_failed", ERROR, "The end of a child could not be brought to its parent; it is tried again.",
         "As for database_error.", ("error",), once_per=("error",)),
    Line("child_failed", ERROR, "A child could not be started; the parent's next execution tries it again.",
         "As for database_error.", ("instance", "error"), once_per=("error",)),
    Line("recovery_failed", ERROR, "An instance could not be recovered; this is retried in a second.",
         "As for database_error.", ("instance", "error"), once_per=("error",)),
    Line("process_ended", ERROR, "One of the processes behind the port ended; it is started again.",
         "Nothing, if it stays up. Else look at what it said last.", ("node", "status", "failures")),
    Line("processes_restarting", INFO, "SIGHUP: the processes behind the port are restarted, one after the other.",
         "Nothing.", ("processes",)),
    Line("node_lost", ERROR,
         "This node could not renew its lease in time, so it stopped its workers; other nodes may take over its "
         "instances.", "Nothing, if it joins again. Else find out why the database did not respond.", ("node",)),
    Line("node_superseded", ERROR,
         "Another server has joined under this node's name, so this one runs nothing any more.",
         "Give each server a name of its own, and restart this one.", ("node",)),
    Line("renewal_failed", ERROR, "The lease of this node could not be renewed; this is retried.",
         "As for database_error.", ("node", "error"), once_per=("error",)),
    Line("schedule_failed", WARNING, "A schedule could not start its instance; it goes on with its next time.",
         "The error says what to change in the schedule or its workflow.", ("tenant", "schedule", "error"),
         once_per=("tenant", "schedule")),
    Line("scheduler_failed", ERROR, "No instance could be claimed; this is retried in a second.",
         "As for database_error.", ("error",), once_per=("error",)),
)  # fmt: skip


class RateLimitedLog:
    """A log that writes each line with its level, and at most once a minute for the same values of its `once_per`.

    Lines that are not in the table come from libraries; each message of theirs is written once a minute.
    """

    def __init__(self, log: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log, self._now = log, now
        self._lines = {line.event: line for line in LINES}
        self._seen: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()
        self._written: dict[str, list[float]] = {}

    def __call__(self, event: str, **fields: Any) -> None:
        """Write the line, or count it."""
        line = self._lines.get(event)
        level = {} if line is None else {"level": line.level}
        once_per = ("message",) if line is None else line.once_per
        if once_per is None:
            self._log(event, **level, **fields)
            return
        more = self._left_out((event, *(str(fields.get(name)) for name in once_per)))
        if more is not None:
            self._log(event, **level, **fields, **({"more": more} if more else {}))

    def _left_out(self, key: tuple[str, ...]) -> int | None:
        """How many lines of this key were left out before this one, or None when it is left out too."""
        now = self._now()
        seen = self._seen.get(key)
        if seen is not None and now - seen[0] < MINUTE:
            seen[1] += 1
            return None
        written = self._written.setdefault(key[0], [now, 0, 0])  # since, lines, lines left out
        if now - written[0] >= MINUTE:
            written[0], written[1] = now, 0
        if written[1] >= MAX_LINES_PER_MINUTE:
            written[2] += 1
            return None
        more = int(written[2] + (seen[1] if seen is not None else 0))
        written[1], written[2] = written[1] + 1, 0
        self._seen[key] = [now, 0]
        self._seen.move_to_end(key)
        while len(self._seen) > MAX_KEYS:
            self._seen.popitem(last=False)
        return more
