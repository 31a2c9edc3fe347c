"""The command line: its options, one per row of the table of settings, and the start of the server or of a command.

Commands and the server are imported late, so that --help and a wrong option respond at once.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment, is_switch, parse_setting

SERVE = "serve"  # what the command does that is none
BAD_USE = 2  # exit status where the operator has to correct something first

# The groups of --help: what a first user needs, then the rest by subject. Every setting is in one group
# (tests/test_cli.py).
GROUPS = {
    "to begin with": (
        "host", "port", "database", "public_url", "trusted_proxies", "operator_token", "secrets_key_file", "workers",
        "retention_days", "unsafe_no_sandbox",
    ),
    "serving": (
        "processes", "node", "drain_seconds", "allowed_hosts", "embeddable", "tracing",
        "allow_weak_sandbox", "metrics", "secrets_key", "slow_commit_ms", "body_bytes", "head_bytes", "head_seconds",
        "body_seconds", "stream_send_seconds", "queue_length",
    ),
    "a run": (
        "packages", "packages_folder", "packages_preload",
        "source_bytes", "value_bytes", "step_bytes_limit", "instance_bytes", "log_bytes", "stream_bytes",
        "stream_names", "tags_per_run", "step_limit", "patch_limit", "journal_events",
        "attempt_cpu_seconds", "attempt_wall_seconds", "worker_losses", "delay_function_ms", "calls_per_execution",
        "calls_in_flight", "call_bytes", "call_seconds", "kv_value_bytes", "kv_bytes", "effects_per_instance",
        "child_depth", "children_limit", "reply_seconds", "mcp_wait_seconds", "mcp_task_seconds", "mcp_poll_ms",
        "debounces_per_instance", "messages_per_run", "chaos_commits", "test_file_bytes",
    ),
    "the world": (
        "fetch_allow", "fetch_tenants", "fetch_reachable", "fetches_per_execution", "fetches_in_flight",
        "fetch_seconds", "fetch_bytes", "fetch_sent_bytes", "fetch_headers", "fetch_header_bytes", "fetch_redirects",
        "fetch_rules",
        "ai_url", "ai_key", "ai_models", "ai_anonymous", "ai_hosts", "ai_tokens_per_day", "ai_tokens_per_run",
        "ai_max_tokens", "ai_seconds", "ai_answer_bytes", "tools_hosts", "tools_seconds", "tools_answer_bytes",
        "tool_servers_per_tenant",
    ),
    "an address": (
        "starts_per_minute", "checks_per_minute", "check_seconds_per_minute", "snippets_per_minute",
        "cards_per_minute", "changes_per_minute", "reads_per_minute", "connections_per_address", "running_per_address",
        "children_per_minute", "streams_per_address", "stored_per_day", "chaos_per_hour", "chaos_running",
    ),
    "a tenant": (
        "tenant_attempt_wall_seconds", "running_per_tenant", "requests_per_tenant", "starts_per_second_per_tenant",
        "queued_per_tenant", "load_seconds", "load_attempts", "workflows_per_tenant", "versions_per_tenant",
        "schedules_per_tenant", "schedule_seconds", "queues_per_tenant", "messages_per_tenant", "deliveries_per_tenant",
        "bulks_per_tenant", "bulk_runs", "bulk_per_second",
    ),
    "workers": (
        "worker_cpu_seconds", "worker_memory_bytes", "idle_grace_ms", "spare_slots", "parked_workers",
        "warm_workers", "warm_seconds", "warm_executions", "warm_growth_bytes",
        "commit_each_step", "ahead_entries", "ahead_bytes", "ahead_ms",
    ),
    "storage": ("synchronous", "database_outage_seconds", "free_disk_bytes", "chaos_retention_hours", "used_id_days",
        "audit_days", "audit_entries",
    ),
    "alerts": (
        "alert_url", "alert_secret", "alert_runs", "alert_queue_seconds", "alert_repeat_minutes", "alert_seconds",
    ),
}  # fmt: skip

_EPILOG = (
    "Commands, each with examples in its --help: `playground run FILE` runs a workflow here or on a server; "
    "`playground runs` lists, follows and controls runs; `playground inbox` shows what waits for you; "
    "`playground test FILE` crashes a workflow at every commit; "
    "`playground deploy`, `tenants`, `schedules`, `queues`: for tenants; `playground export`, `import`: to "
    "Cloudflare and back; `playground packages`: what code may import; `playground doctor`: what this machine can do; "
    "`playground completion`: for a shell; "
    "`playground check FILE ...`: what is wrong with workflows, for CI; `playground tenant-key --help`: keys for "
    "tenants; `playground secrets-key --help`: keys that encrypt their secrets; `playground audit`: who changed what; "
    "`playground backup --to FILE`: a backup, checked; `playground copy --help`: moving to another database. An option "
    "wins over its environment variable. Stop with Ctrl-C or SIGTERM: runs are kept, and go on at the next start."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += "; a value that begins with `-` follows `=`, as in --database=VALUE"
        raise BadSetting(f"{message}; `playground --help` lists every option")


def option_name(name: str) -> str:
    """The command-line option of a setting."""
    return "--" + name.replace("_", "-")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `playground`. It leaves values as text: the settings parse them, by the same rules as variables."""
    parser = _Parser(
        prog="playground",
        usage="playground [--OPTION VALUE ...]",
        description="The playground for dynamic durable workflows: serves the page, "
        "and runs workflows in isolated workers.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    rows = {row.name: row for row in dataclasses.fields(Settings)}
    for title, names in GROUPS.items():
        _add_group(parser.add_argument_group(title), [rows[name] for name in names])
    return parser


def _add_group(group: "argparse._ArgumentGroup", rows: Sequence[Any]) -> None:
    for row in rows:
        kind: dict[str, Any] = {"metavar": _metavar(row)}
        if type(row.default) is bool or is_switch(row.metadata["choices"]):
            kind |= {"nargs": "?", "const": "yes"}
        group.add_argument(option_name(row.name), dest=row.name, default=None, help=_help(row), **kind)


def parse_command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line and an environment; an option overrides its variable.

    Raises:
        BadSetting: an option is unknown, or a value is invalid; one line names it and what is valid.
        SystemExit: for --help and --version, after printing.
    """
    options = vars(build_parser().parse_args(arguments))
    if options.pop("version"):
        from playground.serving import program_version

        print(f"playground {program_version()}")
        raise SystemExit(0)
    values = {name: parse_setting(name, text, option_name(name)) for name, text in options.items() if text is not None}
    return Settings(**(from_environment(environment) | values))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `playground`; returns its exit status."""
    if arguments[:1] == [SERVE]:
        arguments = arguments[1:]
    elif arguments and not arguments[0].startswith("-"):
        return _command(arguments, environment)
    try:
        settings = parse_command_line(arguments, environment)
    except BadSetting as error:
        return print_error(str(error))
    from playground.processes import CannotShare, serve_processes
    from playground.serving import CannotServe, serve

    try:
        if settings.processes > 1:
            return serve_processes(settings)
        serve(settings)
    except (CannotServe, CannotShare) as error:
        return print_error(str(error))
    return 0


def _command(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    from playground.terminal import main as terminal
    from playground.terminal import outcomes

    try:
        if arguments[0] in terminal.COMMANDS:
            return terminal.main(arguments, environment, lambda: _parsers(environment))
    except outcomes.BadCommand as error:
        return print_error(str(error))
    from playground.checking import CHECK, BadCheck
    from playground.checking import main as check
    from playground.commands import COMMANDS, BadCommand, run

    known = (SERVE, *terminal.COMMANDS, CHECK, *COMMANDS)
    if arguments[0] not in known:
        there = ", ".join(f"`playground {it}`" for it in known[:-1]) + f" and `playground {known[-1]}`"
        return print_error(
            f"there is no command {arguments[0][:60]!r}; `playground` alone serves, and there are {there}"
        )
    try:
        if arguments[0] == CHECK:
            return check(arguments[1:], environment)
        run(arguments, environment)
    except (BadCheck, BadCommand) as error:
        return print_error(str(error))
    return 0


def _parsers(environment: Mapping[str, str]) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the program without a command, and those of the commands that are not the terminal's."""
    from playground import checking, commands

    found = {SERVE: build_parser(), checking.CHECK: checking.build_parser()}
    return build_parser(), found | commands.parsers(environment)


def print_error(sentence: str) -> int:
    """Print an error as one line on stderr; returns the exit status."""
    print("playground: " + " ".join(sentence.split()), file=sys.stderr)
    return BAD_USE


def _metavar(row: Any) -> str:
    if row.metadata["choices"]:
        return "|".join(row.metadata["choices"])
    if type(row.default) is bool:
        return "yes|no"
    return "N" if type(row.default) is int else row.name.rpartition("_")[2].upper()


def _help(row: Any) -> str:
    default = ("yes" if row.default else "no") if type(row.default) is bool else row.default
    unit = f" {row.metadata['unit']}" if row.metadata["unit"] else ""
    shown = "none" if default == "" else f"{default}{unit}"
    return f"{row.metadata['help']} (default: {shown}; {ENV_PREFIX}{row.name.upper()})".replace("%", "%%")
