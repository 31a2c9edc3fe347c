"""Every line that the server's log may have, in one table, which docs/operating.md is checked against; and what keeps a
flood of them out.

A line tells of something an operator must know. `instance` is the number of an instance in the database: its id is a
secret, since whoever knows it may read the run. Tokens, keys and secrets are in none of them, and what tenants or
clients wrote is escaped (log.py).
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Log = Callable[..., None]

INFO, WARNING, ERROR = "info", "warning", "error"
MINUTE = 60.0
MOST_KEYS = 20_000  # remembered at once; past it the one told of longest ago is forgotten
MOST_A_MINUTE = 600  # lines of one kind, from however many addresses


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of line: when it is written, what to do then, and its fields.

    `once`: of all that agree in these fields the first in a minute is told, and the next after that says with `more`
    how many were not.
    """

    event: str
    level: str
    when: str
    do: str
    fields: tuple[str, ...] = ()
    once: tuple[str, ...] | None = None


FIELDS: Mapping[str, str] = {
    "address": "where it listens, host and port",
    "advice": "what would isolate better",
    "after": "the version afterwards",
    "after_seconds": "how long it was waited for",
    "before": "the version before",
    "call": "the binding's method",
    "calls": "calls that shared the commit",
    "cause": "how its process ended",
    "client": "address of the client",
    "code": "code of the refusal, or exit code of the process",
    "descriptors": "files and connections that may be open",
    "error": "name and message of the error",
    "execution": "number of the execution",
    "failures": "how often in a row",
    "forks": "children it has made",
    "free_bytes": "room on the disk",
    "instance": "number of the instance in the database",
    "instances": "how many instances there were",
    "key": "id of the key",
    "layers": "layers of isolation in force",
    "least": "room below which nothing new is started",
    "limit": "the setting that was met; `protocol` for what no honest worker says",
    "method": "HTTP method",
    "more": "lines like this that were left out since the last",
    "most": "how many there may be",
    "name": "name that the tenant gave",
    "node": "name of the node, and how often it has joined",
    "number": "number of the version, or of the key",
    "open": "how many there are",
    "path": "file of the database",
    "reason": "why",
    "route": "the call, as openapi.json names it",
    "running": "instances that have a worker",
    "seconds": "how long it took",
    "sentence": "what the tier means",
    "settings": "settings that differ from their defaults, without secrets",
    "signal": "signal that ended the process",
    "slots": "instances that may have a worker at once",
    "status": "HTTP status, or status of the instance",
    "store": "the database",
    "streams": "event streams open",
    "synchronous": "how commits wait for the disk",
    "tenant": "name of the tenant",
    "text": "what it printed",
    "tier": "tier of isolation",
    "values": "values that were encrypted",
    "version": "version of the program, or of the tenant's code",
    "what": "the limit in words",
    "whose": "address or tenant",
    "why": "the refusal in words",
    "workers": "workers that were lost, or live on, with it",
    "zygote": "name of the fork server",
}

LINES: tuple[Line, ...] = (
    # The server's life.
    Line("start", INFO, "It serves.", "Nothing. Compare the settings with what you meant.",
         ("version", "address", "tier", "store", "synchronous", "slots", "descriptors", "settings")),
    Line("descriptors_low", WARNING,
         "Nearly as many files and connections are open as may be; with none left, new connections wait for ever.",
         "Raise the hard limit (`ulimit -Hn`, LimitNOFILE= in the unit), or `connections_per_address` is too high.",
         ("open", "most"), once=()),
    Line("any_host", WARNING,
         "It answers under any name, so that a website which points a name at it can use it through the browser of who "
         "visits that site.", "Nothing where everybody may reach it anyway; else set `allowed_hosts` or `public_url`."),
    Line("stop", INFO, "It was told to stop.", "Nothing: runs are kept, and go on at the next start.",
         ("running", "streams")),
    Line("stopped", INFO, "All is on the disk.", "Nothing.", ("seconds",)),
    Line("recovered", INFO, "A run that the last server left is taken up.",
         "Nothing; after a crash, one for each run that was under way.", ("instance", "status")),
    # The sandbox.
    Line("sandbox.tier", INFO, "The attacks of the start were withstood.",
         "Read the advice before opening it to the internet.", ("tier", "sentence", "layers", "advice")),
    Line("sandbox.refused", ERROR, "It does not start, since tenant code would not be isolated well enough.",
         "What the reason says.", ("reason",)),
    Line("sandbox.no_namespaces", WARNING, "bubblewrap cannot make namespaces here.",
         "Allow user namespaces for tier A.", ("reason",)),
    Line("sandbox.no_network_namespace", WARNING,
         "bubblewrap cannot make a network namespace here; the system-call filter refuses every socket all the same.",
         "Allow network namespaces for one more layer.", ("reason",)),
    Line("sandbox.no_memory_group", INFO, "No memory group can be made round all workers.",
         "Let the server write to its memory cgroup; each worker is bounded by itself all the same.", ("reason",)),
    Line("sandbox.memory_unguarded", WARNING,
         "A fork server could not be put under the memory group, or first in line when memory runs out.",
         "As for sandbox.no_memory_group.", ("zygote", "reason")),
    Line("sandbox.zygote_said", WARNING, "A fork server or bubblewrap printed something.",
         "Read it; it is ours, no tenant's.", ("zygote", "text"), once=("text",)),
    Line("sandbox.zygote_died", WARNING, "A fork server died; executions with its workers go on with others.",
         "Once: nothing. Again and again: look at the machine's memory and at the reason.",
         ("zygote", "reason", "workers")),
    Line("sandbox.zygote_recycled", INFO, "A worn fork server was replaced.",
         "Nothing: every ten minutes or 5,000 forks.", ("zygote", "forks", "workers")),
    Line("sandbox.zygote_failed", ERROR, "A new fork server does not come up; nothing new runs meanwhile.",
         "What the reason says; it is tried again and again.", ("zygote", "reason", "failures"), once=("reason",)),
    Line("sandbox.fork_failed", WARNING, "A worker could not be forked or locked.",
         "Look at the machine's memory and its limit of processes.", ("reason", "failures"), once=("reason",)),
    Line("worker_lost", WARNING, "A worker died by itself, or with its fork server; the run goes on with another.",
         "By one address or tenant: its code does that. By many: look at the fork servers and at memory.",
         ("instance", "whose", "execution", "cause", "signal", "code"), once=("whose", "cause")),
    Line("no_worker", WARNING, "No worker could be had for an execution; it is tried again.",
         "As for sandbox.zygote_failed.", ("instance", "reason"), once=("reason",)),
    # Who asks for too much.
    Line("limit", WARNING, "Somebody met a limit.", "Nothing, unless many honest people do: then raise the setting.",
         ("limit", "whose", "instance", "what", "status", "code", "method", "route"), once=("limit", "whose")),
    Line("refused", INFO, "A request was refused for another reason than a limit.", "Nothing; 5xx: as `failed`.",
         ("status", "code", "method", "route", "client", "why"), once=("client", "code")),
    Line("stream.dropped", INFO, "The reader of a stream did not read.", "Nothing: it comes again when it can.",
         ("instance", "after_seconds"), once=("instance",)),
    # The database.
    Line("database_migrated", INFO, "The database has a newer schema now.",
         "Nothing; an older program cannot open it any more.", ("path", "before", "after")),
    Line("secrets_plain", INFO, "It has no key for tenants' secrets, so that they stand in the database unencrypted.",
         "Nothing where there are no tenants, or the disk and its backups are encrypted; else `secrets_key_file`."),
    Line("secrets_encrypted", INFO, "The first key for secrets has appeared, and what was plain is encrypted now.",
         "Nothing, unless there is a reason; backups from before have it plain.",
         ("values", "key", "seconds", "reason")),
    Line("database_error", ERROR, "A commit failed; nothing of it was written.",
         "Look at the disk. Runs go on once it can be written again.", ("error", "calls"), once=("error",)),
    Line("slow_commit", WARNING, "A commit took longer than `slow_commit_ms`.", "Look at what else writes to the disk.",
         ("seconds", "calls"), once=()),
    Line("disk_full", ERROR, "The database's disk is nearly full, so nothing new is started.",
         "Make room, or keep finished runs for fewer days.", ("free_bytes", "least"), once=()),
    Line("expiry_failed", ERROR, "Old instances could not be removed; it is tried again in ten minutes.",
         "As for database_error.", ("error",)),
    Line("shrink_failed", WARNING, "Memory that nobody needs could not be given back to the machine.",
         "Nothing; report it when memory grows.", ("error",), once=("error",)),
    Line("commit_failed", ERROR, "What an execution did could not be written; it is recovered.",
         "As for database_error.", ("instance", "error"), once=("error",)),
    # Tenants.
    Line("tenant.key_made", INFO, "The operator made a key on the page.", "Nothing, if it was you.",
         ("tenant", "number", "client")),
    Line("tenant.deployed", INFO, "A tenant deployed a version of its code.", "Nothing.",
         ("tenant", "version", "number", "client")),
    Line("tenant.version_deleted", INFO, "A tenant deleted a version of its code.", "Nothing.",
         ("tenant", "version", "client")),
    Line("tenant.deleted", INFO, "The operator deleted a tenant with everything it had.", "Nothing, if it was you.",
         ("tenant", "instances", "client")),
    Line("tenant.migrated", INFO, "A tenant moved an instance to another version.", "Nothing.",
         ("tenant", "instance", "version", "client"), once=("tenant",)),
    Line("tenant.secret_set", INFO, "A tenant set a secret.", "Nothing.", ("tenant", "name", "client")),
    Line("tenant.secret_removed", INFO, "A tenant removed a secret.", "Nothing.", ("tenant", "name", "client")),
    Line("tenant.trigger_made", INFO, "A tenant made the address that starts its workflow.", "Nothing.",
         ("tenant", "client")),
    Line("tenant.trigger_removed", INFO, "A tenant removed that address.", "Nothing.", ("tenant", "client")),
    Line("load_failed", WARNING, "A dispatcher could not load a tenant's code; it is tried again.",
         "Ask who runs the dispatcher.", ("instance", "error"), once=("error",)),
    Line("no_dispatcher", WARNING, "An instance waits for a dispatcher that is not there.",
         "Make the dispatcher, in the program that embeds the engine.", ("instance", "reason"), once=("reason",)),
    Line("binding_failed", ERROR, "A binding raised what is no answer to its caller.", "Mend the binding.",
         ("instance", "call"), once=("call",)),
    # Faults of ours.
    Line("failed", ERROR, "A request met a fault of the server's and was answered with 500.",
         "Report it, with the trace.", ("method", "route", "error"), once=("route", "error")),
    Line("execution_failed", ERROR, "An execution met a fault of the server's; it is recovered.", "Report it.",
         ("instance", "error"), once=("error",)),
    Line("recovery_failed", ERROR, "An instance could not be recovered; it is tried again in a second.",
         "As for database_error.", ("instance", "error"), once=("error",)),
    Line("node_lost", ERROR,
         "This node could not renew its lease in time, so that it stopped its workers; others may go on with their "
         "instances.", "Nothing, if it joins again. Else see why the database did not answer.", ("node",)),
    Line("node_superseded", ERROR,
         "Another server has joined under this node's name, so that this one runs nothing more.",
         "Give each server a name of its own, and restart this one.", ("node",)),
    Line("renewal_failed", ERROR, "The lease of this node could not be renewed; it is tried again.",
         "As for database_error.", ("node", "error"), once=("error",)),
    Line("scheduler_failed", ERROR, "Nothing could be claimed; it is tried again in a second.",
         "As for database_error.", ("error",), once=("error",)),
)  # fmt: skip


class Quiet:
    """A log that writes a line at most once a minute for what agrees in its `once`, and gives each its level.

    Lines that are not in the table come from libraries; they are told of once a minute for each message.
    """

    def __init__(self, log: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log, self._now = log, now
        self._lines = {line.event: line for line in LINES}
        self._seen: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()
        self._told: dict[str, list[float]] = {}

    def __call__(self, event: str, **fields: Any) -> None:
        """Write the line, or count it."""
        line = self._lines.get(event)
        level = {} if line is None else {"level": line.level}
        once = ("message",) if line is None else line.once
        if once is None:
            self._log(event, **level, **fields)
            return
        more = self._left_out((event, *(str(fields.get(name)) for name in once)))
        if more is not None:
            self._log(event, **level, **fields, **({"more": more} if more else {}))

    def _left_out(self, key: tuple[str, ...]) -> int | None:
        """How many lines of this key were left out before this one, or None when it is left out too."""
        now = self._now()
        seen = self._seen.get(key)
        if seen is not None and now - seen[0] < MINUTE:
            seen[1] += 1
            return None
        told = self._told.setdefault(key[0], [now, 0, 0])  # since, lines, lines left out
        if now - told[0] >= MINUTE:
            told[0], told[1] = now, 0
        if told[1] >= MOST_A_MINUTE:
            told[2] += 1
            return None
        more = int(told[2] + (seen[1] if seen is not None else 0))
        told[1], told[2] = told[1] + 1, 0
        self._seen[key] = [now, 0]
        self._seen.move_to_end(key)
        while len(self._seen) > MOST_KEYS:
            self._seen.popitem(last=False)
        return more
