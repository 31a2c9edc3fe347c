"""Writes the Grafana dashboard, deploy/grafana/playground.json: `./run python docs/dashboard.py`.

One table of rows and panels, each with its expressions. What is the database's is taken once with `max`, since every
node tells the same; what is a process's is summed over nodes, or drawn for each. tests/test_deploy.py holds each
expression to the metrics that there are, and each metric to a panel.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent.parent / "deploy" / "grafana" / "playground.json"
JOB = '{job=~"$job"}'
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 24, 8  # of a row and of a panel in it, in Grafana's units


class Panel(NamedTuple):
    """A panel: its title, what it says to a reader, its unit, and each expression with its legend."""

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def _of_database(name: str, by: str = "") -> str:
    return f"max{f' by ({by})' if by else ''} (playground_{name}{JOB})"


def _rate(name: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate(playground_{name}{JOB}[$__rate_interval]))"


def _quantiles(name: str) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le) (rate(playground_{name}_bucket{JOB}[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({share}, {buckets})", f"p{share[2:].ljust(2, '0')}") for share in ("0.5", "0.99")
    )


def _of_each(name: str) -> str:
    return f"playground_{name}{JOB}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Is it well?", (
        Panel("Nodes", "Nodes that hold a lease.", "short", ((_of_database("nodes_living"), "nodes"),), "stat"),
        Panel("Waits for a worker", "How long the run that is due for longest has waited. Over a minute, for long: too "
              "few slots, a queue at its limit, or no dispatcher.", "s",
              ((_of_database("queue_oldest_seconds"), "oldest"),), "stat"),
        Panel("Isolation", "The tier that held at the start: A and B are walls, C and D are not.", "none",
              ((f"max by (tier) (playground_isolation_info{JOB})", "{{tier}}"),), "stat"),
        Panel("Room on the disk", "Below free_disk_bytes nothing new is started.", "bytes",
              ((_of_database("disk_free_bytes"), "free"),), "stat"),
        Panel("Versions", "Of each node.", "none",
              ((f"max by (instance, version) (playground_build_info{JOB})", "{{instance}} {{version}}"),
               (f"max by (node) (playground_node_info{JOB})", "{{node}}")), "stat"),
    )),
    ("Runs", (
        Panel("Runs by status", "In the database, everybody's.", "short",
              ((_of_database("instances", "status"), "{{status}}"),)),
        Panel("Queue", "Runs that wait for a worker.", "short", ((_of_database("queue_depth"), "waiting"),)),
        Panel("Executions", "Begun in a second, and ended by reason. `killed`, `crashed` and `lost` are what chaos "
              "looks like: their runs go on.", "ops",
              ((_rate("executions_total"), "begun"), (_rate("executions_ended_total", "reason"), "{{reason}}"))),
        Panel("Limits met", "By setting; `protocol` is a worker that said what none of ours says.", "ops",
              ((_rate("limits_hit_total", "limit"), "{{limit}}"),)),
    )),
    ("Workers", (
        Panel("Slots", "Runs that have a worker, of how many that may.", "short",
              ((f"sum (playground_workers_running{JOB})", "running"),
               (f"sum (playground_worker_slots{JOB})", "slots"))),
        Panel("Parked", "Isolated workers that are ready. At 0 each start waits for a fork.", "short",
              ((_of_each("workers_parked"), "{{instance}}"),)),
        Panel("Workers that came and went", "Ends as the kernel tells them; a signal is most often the server's own.",
              "ops", ((_rate("worker_starts_total"), "started"), (_rate("worker_ends_total", "cause"), "{{cause}}"))),
        Panel("Fork servers", "That took over, and workers that could not be forked or locked.", "ops",
              ((_rate("zygote_starts_total", "cause"), "{{cause}}"), (_rate("fork_failures_total"), "fork failed"))),
    )),
    ("Database", (
        Panel("Commits", "How long a commit kept its oldest call waiting.", "s", _quantiles("commit_seconds")),
        Panel("Commits and events", "Durable ones in a second, and those that the database refused.", "ops",
              ((_rate("commits_total"), "commits"), (_rate("events_total"), "events"),
               (_rate("commit_failures_total"), "refused"))),
        Panel("Calls in a commit", "The size of its group.", "short", _quantiles("commit_calls")),
        Panel("Claims", "How long a claim of due runs took.", "s", _quantiles("claim_seconds")),
        Panel("Notifications", "From a commit, through the database, to a node.", "s", _quantiles("notify_seconds")),
        Panel("Age of the lease", "At 10 s a node stops its workers.", "s",
              ((_of_each("lease_age_seconds"), "{{instance}}"),)),
        Panel("Size", "Of the database's files.", "bytes", ((_of_database("database_bytes"), "files"),)),
        Panel("Vacuum", "PostgreSQL: rows that wait for one, and the age of the oldest transaction, which holds it up.",
              "short", ((_of_database("dead_rows", "table"), "{{table}}"),
                        (_of_database("oldest_transaction_seconds"), "oldest transaction, s"))),
    )),
    ("Requests", (
        Panel("Requests", "By class of status.", "ops", ((_rate("requests_total", "status"), "{{status}}"),)),
        Panel("Time to the answer's head", "", "s", _quantiles("request_seconds")),
        Panel("Streams", "Open ones, and those cut off in a second because their reader did not read.", "short",
              ((f"sum (playground_streams_open{JOB})", "open"), (_rate("streams_dropped_total"), "dropped"))),
        Panel("Memory", "Of each server, without its workers.", "bytes",
              ((f"process_resident_memory_bytes{JOB}", "{{instance}}"),)),
    )),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": place})  # fmt: skip
        top += 1
        across = len(row) if row[0].kind == "stat" else min(len(row), 4)
        height = HEIGHT // 2 if row[0].kind == "stat" else HEIGHT
        for number, panel in enumerate(row):
            line, column = divmod(number, across)
            width = WIDTH // across
            place = {"h": height, "w": width, "x": column * width, "y": top + line * height}
            panels.append(_panel(len(panels) + 1, panel, place))
        top += -(-len(row) // across) * height
    return {
        "uid": "dynamic-workflows-playground",
        "title": "Dynamic workflows playground",
        "description": "Runs, workers, database and requests of all nodes of a job. See docs/operating.md.",
        "tags": ["workflows"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "job", "label": "Job", "type": "query", "datasource": SOURCE, "refresh": 2,
                    "query": "label_values(playground_build_info, job)", "includeAll": True, "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": panels,
    }  # fmt: skip


def _panel(id: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        for number, (expression, legend) in enumerate(panel.queries)
    ]
    shown: dict[str, Any] = {
        "id": id, "type": panel.kind, "title": panel.title, "description": panel.description, "gridPos": place,
        "datasource": SOURCE, "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    }  # fmt: skip
    if panel.kind == "stat":
        names_only = "info" in panel.queries[0][0]
        shown["options"] = {"textMode": "name" if names_only else "value", "colorMode": "none"}
    return shown


def written() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
