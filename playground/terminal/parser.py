"""The words and options of the commands. What they do is in the modules that main.py names."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from playground.terminal.outcomes import BadCommand, table
from playground.workflows.events import KINDS
from playground.workflows.filters import OPERATIONS
from playground.workflows.names import CLASS_NAME, MAIN_WORKFLOW

WIDTH = 100
FORMATS = ("auto", "text", "json")
VICTIMS = ("server", "worker")
SHELLS = ("bash", "zsh", "fish")

# One line for each command in `playground --help`.
SUMMARIES: Mapping[str, str] = {
    "run": "run a workflow here or on a server, and follow it",
    "runs": "list, show, follow and control runs",
    "inbox": "what waits for a person, answers, and links to answer by",
    "test": "crash a workflow at every commit, and compare",
    "deploy": "make a file the newest version of a tenant's workflow",
    "export": "make a project for Cloudflare of a workflow",
    "import": "make a file of a project's workflow",
    "tenants": "list tenants, make keys, delete",
    "schedules": "what starts by the clock",
    "queues": "queues of messages",
    "packages": "install what code may import, and list it",
    "doctor": "what this machine can do, and what to put right",
    "completion": "complete commands and options in bash, zsh or fish",
}

_EXAMPLES: Mapping[str, str] = {
    "run": """
  playground run order.py --params '{"order": 7}' --follow
  playground run --example crash-and-resume --follow
  playground run report.py --schedule '0 9 * * MON' --follow
  playground run order.py --params @order.json --server https://play.example
  playground run --resume 37bf11bb --follow""",
    "runs": """
  playground runs list
  playground runs logs --follow 37bf11bb
  playground runs send-event 37bf11bb approved '{"by": "ada"}'
  playground runs restart 37bf11bb --from "charge card"
  playground runs export 37bf11bb > run.jsonl
  playground runs export 37bf11bb --as-test > test_order.py
  playground runs show run.jsonl
  playground runs bulk terminate --status waiting --tag vip --tenant acme --yes
  playground runs list --format json | jq -r 'select(.status == "errored").run'""",
    "inbox": """
  playground inbox --server https://play.example
  playground inbox answer 37bf11bb '{"approved": true}' --step "pay the invoice"
  playground inbox link 37bf11bb --label 'Ada, accounting' --expires-in '2 days'""",
    "test": """
  playground test order.py --params '{"order": 7}'
  playground test approval.py --event 'approved={"by": "ada"}' --victim worker""",
    "deploy": """
  PLAYGROUND_TOKEN=pk_… playground deploy acme order.py --server https://play.example""",
    "export": """
  playground export order.py --to order-project
  playground export --example approval --to approval.zip""",
    "import": """
  playground import order-project
  playground import order.zip --to order.py --class-name OrderWorkflow""",
    "tenants": """
  PLAYGROUND_TOKEN=… playground tenants list
  PLAYGROUND_TOKEN=… playground tenants make-key acme --label laptop""",
    "schedules": """
  playground schedules put nightly '0 3 * * *' --timezone Europe/Berlin --tenant acme
  playground schedules run nightly --tenant acme""",
    "queues": """
  playground queues put orders --consumer main --tenant acme
  playground queues send orders '{"order": 7}' --tenant acme""",
    "packages": """
  playground packages requirements.txt
  PLAYGROUND_PACKAGES_FOLDER=/opt/packages playground packages requirements.txt""",
    "doctor": """
  playground doctor
  playground doctor --format json | jq 'select(.state == "bad")'""",
    "completion": """
  playground completion bash > ~/.local/share/bash-completion/completions/playground
  playground completion zsh > "${fpath[1]}/_playground"
  playground completion fish > ~/.config/fish/completions/playground.fish""",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise BadCommand(f"{message}; `{self.prog} --help` says how it is used")


def build_parser() -> Parser:
    """The parser of all commands of the terminal."""
    parser = Parser(prog="playground", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    made = {name: _command(commands, name) for name in SUMMARIES}
    _add_run(made["run"])
    _add_runs(made["runs"])
    _add_inbox(made["inbox"])
    _add_test(made["test"])
    _add_deploy(made["deploy"])
    _add_export(made["export"])
    _add_import(made["import"])
    _add_tenants(made["tenants"])
    _add_schedules(made["schedules"])
    _add_queues(made["queues"])
    _add_packages(made["packages"])
    _add_place(made["doctor"], tenant=False)
    made["completion"].add_argument("shell", choices=SHELLS, help="the shell to make it for")
    return parser


def _add_packages(parser: Parser) -> None:
    file = "requirements file: exact versions with hashes (default: PLAYGROUND_PACKAGES)"
    parser.add_argument("file", nargs="?", metavar="FILE", help=file)
    parser.add_argument(
        "--database", metavar="URL", help="the database beside which it installs, where no folder is set"
    )
    _add_format(parser)


def _formatter(prog: str) -> argparse.RawDescriptionHelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=WIDTH)


def _command(commands: Any, name: str) -> Parser:
    summary = SUMMARIES[name]
    statuses = f"\n\nexit status:\n{table()}" if name in ("run", "runs", "test", "doctor") else ""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:{_EXAMPLES[name]}{statuses}",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    return parser


def _add_place(parser: argparse.ArgumentParser, *, tenant: bool = True) -> None:
    place = parser.add_argument_group("where")
    place.add_argument("--server", metavar="URL", help="a server (default: PLAYGROUND_SERVER, else here)")
    place.add_argument("--database", metavar="URL", help="a local database (default: sqlite:///playground.db)")
    if tenant:
        place.add_argument("--tenant", metavar="NAME", help="as this tenant, with its key in PLAYGROUND_TOKEN")
    _add_format(parser)


def _add_format(parser: argparse.ArgumentParser) -> None:
    text = "text, or JSON lines (default: text on a terminal, JSON lines in a pipe)"
    parser.add_argument("--format", choices=FORMATS, default="auto", help=text)


def _actions(parser: Parser, what: Sequence[tuple[str, str]], *, required: bool = True) -> dict[str, Parser]:
    actions = parser.add_subparsers(dest="action", required=required, metavar="ACTION", title="actions")
    made = {}
    for name, help in what:
        made[name] = actions.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            formatter_class=_formatter,
            allow_abbrev=False,
        )
    return made


def _add_step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=_positive, default=1, metavar="N", help="which call of this name, from 1")
    parser.add_argument("--kind", choices=KINDS, default="do", help="its kind (default: %(default)s)")


def _add_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="that a server may be away (default: %(default)g)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("from 1")
    return number


_positive.__name__ = "number from 1 on"  # argparse puts it into its message


def _add_run(parser: Parser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a workflow's source; - for stdin")
    parser.add_argument("--example", metavar="NAME", help="an example instead, such as crash-and-resume")
    parser.add_argument("--workflow", metavar="NAME", help="a workflow that the tenant has deployed instead")
    parser.add_argument("--resume", metavar="ID", help="go on with a run that was left, or that a crash has cut")
    parser.add_argument("--params", metavar="JSON|@FILE", help="its params; @- for stdin")
    parser.add_argument("--id", metavar="ID", help="the run's id, instead of one at random")
    parser.add_argument("--follow", action="store_true", help="show what happens, as it is committed")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="a tag to find it by; may be repeated"
    )
    parser.add_argument("--skip-sleeps", action="store_true", help="have every sleep be over at once")
    fired = "stand for the next firing of this cron expression, as in '0 9 * * MON' (UTC)"
    parser.add_argument("--schedule", metavar="CRON", help=fired)
    _add_patience(parser)
    _add_place(parser)


def _add_filter(parser: Parser) -> None:
    """The filter of a tenant's runs; those that were started from here are chosen by status and tag."""
    for name, metavar, text in (
        ("status", "STATUS", "only those: running, waiting, errored, …; several with commas between"),
        ("workflow", "NAME", "only of this workflow"),
        ("version", "ID", "only with this code"),
        ("waiting-for", "TYPE", "only those that wait for an event of this type"),
        ("error", "NAME", "only those that failed with an error of this class"),
        ("text", "TEXT", "only those with this in their error"),
        ("since", "TIME", "created at this time or later: a date, or so long ago: '2 hours'"),
        ("until", "TIME", "created before"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="only with this tag; may be repeated")


def _add_bulk(parser: Parser) -> None:
    parser.add_argument("operation", choices=(*OPERATIONS, "stop"), help="what is done; stop: an operation itself")
    parser.add_argument("id", nargs="?", metavar="ID", help="of the operation to stop")
    _add_filter(parser)
    parser.add_argument("--all", action="store_true", help="all of the tenant's runs")
    parser.add_argument("--rollback", action="store_true", help="of terminate: run the rollback handlers first")
    parser.add_argument("--from", dest="from_step", metavar="STEP", help="of restart and fork: keep what was before")
    _add_step(parser)
    parser.add_argument("--onto", metavar="VERSION", help="of fork: this code, or `newest`")
    parser.add_argument("--yes", action="store_true", help="do it; without this it says what it would do")


def _add_runs(parser: Parser) -> None:
    made = _actions(
        parser,
        [
            ("list", "the runs that were started from here, or a tenant's; newest first"),
            ("show", "one run, or one in a file: its steps, result and error"),
            ("export", "a run as a file, which the page and `runs show` open, or as a test"),
            ("logs", "what has happened in a run, and with --follow what happens"),
            ("send-event", "send an event to a run"),
            ("pause", "start no new step"),
            ("resume", "go on after a pause"),
            ("terminate", "end a run"),
            ("restart", "run again from the top or from a step"),
            ("fork", "a new run from what this one has finished"),
            ("wake", "end the current sleep, retry wait or event timeout now"),
            ("skip-sleeps", "have every sleep be over at once"),
            ("kill-worker", "SIGKILL the worker: what is committed stays"),
            ("code", "go on with other code, where the history fits it"),
            ("chaos", "run it again with the worker killed before each commit"),
            ("delete", "remove a run and its journal"),
            ("bulk", "one operation on all of a tenant's runs that fit a filter"),
        ],
    )
    for name, action in made.items():
        if name not in ("list", "bulk"):
            more = ", or a file that `runs export` wrote" if name in ("show", "export") else ""
            action.add_argument(
                "id", metavar="ID", help=f"the run's id, or the beginning of one started from here{more}"
            )
    _add_filter(made["list"])
    _add_bulk(made["bulk"])
    made["list"].add_argument(
        "--limit", type=_positive, default=50, metavar="N", help="at most so many, and never more than 1,000"
    )
    made["logs"].add_argument("--follow", action="store_true", help="go on until the run has ended")
    _add_patience(made["logs"])
    made["logs"].add_argument("--after", type=int, default=0, metavar="SEQ", help="only what comes after this event")
    made["send-event"].add_argument("type", metavar="TYPE", help="its type")
    made["send-event"].add_argument("payload", nargs="?", metavar="JSON|@FILE", help="its payload (default: null)")
    made["send-event"].add_argument("--reply", action="store_true", help="wait for the workflow's reply, and print it")
    made["terminate"].add_argument("--rollback", action="store_true", help="run the rollback handlers first")
    text = "a pytest file instead, which pins what the run did"
    made["export"].add_argument("--as-test", action="store_true", help=text)
    for name in ("restart", "fork"):
        made[name].add_argument("--from", dest="from_step", metavar="STEP", help="keep what was before this step")
        _add_step(made[name])
    made["fork"].add_argument("--output", metavar="JSON|@FILE", help="the result of that step, in place of its own")
    made["fork"].add_argument("--source", metavar="FILE", help="other code")
    made["wake"].add_argument("step", nargs="?", metavar="STEP", help="the step, where several wait")
    _add_step(made["wake"])
    made["skip-sleeps"].add_argument("--off", action="store_true", help="let them last again")
    made["kill-worker"].add_argument(
        "--when", choices=("now", "during-step", "before-commit"), default="now", help="when (default: %(default)s)"
    )
    made["code"].add_argument("source", metavar="FILE", help="the code")
    for action in made.values():
        _add_place(action)


def _add_inbox(parser: Parser) -> None:
    made = _actions(
        parser,
        [
            ("list", "what waits, the newest run first; the same without an action"),
            ("answer", "answer what waits in a run"),
            ("link", "make a link with which somebody answers it once, without an account"),
        ],
        required=False,
    )
    _add_place(parser)
    for name in ("answer", "link"):
        made[name].add_argument("id", metavar="ID", help="the run's id, or the beginning of one started from here")
        made[name].add_argument("--step", metavar="STEP", help="which wait, where several are open")
    made["answer"].add_argument("payload", nargs="?", metavar="JSON|@FILE", help="the answer (default: null)")
    made["answer"].add_argument("--type", metavar="TYPE", help="the event, where the wait takes several")
    made["link"].add_argument("--label", default="", metavar="TEXT", help="whom it is for")
    made["link"].add_argument("--expires-in", metavar="TIME", help="such as '2 days' (default: as long as the wait)")
    for action in made.values():
        _add_place(action)


def _add_test(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a workflow's source; - for stdin")
    parser.add_argument("--params", metavar="JSON|@FILE", help="its params")
    parser.add_argument(
        "--event", action="append", default=[], metavar="TYPE=JSON", help="an event that it waits for; may be repeated"
    )
    parser.add_argument("--victim", choices=VICTIMS, default="server", help="what is killed (default: %(default)s)")
    parser.add_argument(
        "--at", type=_positive, action="append", metavar="N", help="only at this commit; may be repeated"
    )
    parser.add_argument(
        "--most", type=_positive, default=200, metavar="N", help="commits at most (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="N", help="that one run may take (default: %(default)g)"
    )
    parser.add_argument("--all", action="store_true", help="show the commits where nothing differs, too")
    parser.add_argument("--class-name", default=CLASS_NAME, metavar="NAME", help="the class (default: %(default)s)")
    _add_format(parser)


def _add_deploy(parser: Parser) -> None:
    parser.add_argument("tenant", metavar="TENANT", help="the tenant, with its key in PLAYGROUND_TOKEN")
    parser.add_argument("file", metavar="FILE", help="a workflow's source; - for stdin")
    parser.add_argument("--workflow", default=MAIN_WORKFLOW, metavar="NAME", help="its name (default: %(default)s)")
    parser.add_argument("--class-name", default=CLASS_NAME, metavar="NAME", help="the class (default: %(default)s)")
    parser.add_argument("--warm", action="store_true", help="keep workers with this code")
    _add_place(parser, tenant=False)


def _add_export(parser: Parser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a workflow's source; - for stdin")
    parser.add_argument("--example", metavar="NAME", help="an example instead, such as approval")
    parser.add_argument("--to", required=True, metavar="FOLDER|FILE.zip", help="a new folder, or a zip of it")
    parser.add_argument("--params", metavar="JSON|@FILE", help="params to start runs with")
    parser.add_argument("--class-name", default=CLASS_NAME, metavar="NAME", help="the class (default: %(default)s)")
    _add_format(parser)


def _add_import(parser: Parser) -> None:
    parser.add_argument("project", metavar="FOLDER|FILE.zip", help="a project of wrangler")
    parser.add_argument("--to", metavar="FILE", help="the file (default: called as the project is)")
    parser.add_argument("--class-name", metavar="NAME", help="the class, where it has several workflows")
    _add_format(parser)


def _add_tenants(parser: Parser) -> None:
    made = _actions(
        parser,
        [
            ("list", "all tenants, with their runs by status; for the operator"),
            ("show", "what a tenant has deployed"),
            ("make-key", "make a key, and the tenant if it is new; for the operator"),
            ("delete", "remove a tenant with everything it has; for the operator"),
        ],
    )
    for name in ("make-key", "delete"):
        made[name].add_argument("name", metavar="TENANT", help="the tenant's name")
    made["make-key"].add_argument("--label", default="", metavar="TEXT", help="what the key is for")
    made["delete"].add_argument("--end", action="store_true", help="also while runs are unfinished, which are ended")
    for action in made.values():
        _add_place(action)


def _add_schedules(parser: Parser) -> None:
    made = _actions(
        parser,
        [
            ("list", "the schedules, with their next time"),
            ("show", "one schedule, with its next five times"),
            ("put", "add a schedule, or replace the one of this name"),
            ("pause", "fire no more until it is resumed"),
            ("resume", "go on with the next time"),
            ("run", "start a run now"),
            ("delete", "delete a schedule"),
        ],
    )
    for name, action in made.items():
        if name != "list":
            action.add_argument("name", metavar="NAME", help="the schedule's name")
    put = made["put"]
    put.add_argument("cron", metavar="CRON", help="minute, hour, day, month and weekday, as in '0 3 * * *'")
    put.add_argument("--workflow", default=MAIN_WORKFLOW, metavar="NAME", help="what it starts (default: %(default)s)")
    put.add_argument("--timezone", default="UTC", metavar="ZONE", help="such as Europe/Berlin (default: %(default)s)")
    put.add_argument("--params", metavar="JSON|@FILE", help="the params of its runs")
    put.add_argument("--missed", choices=("skip", "once", "all"), default="skip", help="of firings that were missed")
    put.add_argument("--paused", action="store_true", help="do not fire yet")
    for action in made.values():
        _add_place(action)


def _add_queues(parser: Parser) -> None:
    made = _actions(
        parser,
        [
            ("list", "the queues, with how many messages are where"),
            ("put", "make a queue, or change one; what is left out is as by default"),
            ("send", "send a message"),
            ("dead", "the messages that failed too often"),
            ("retry", "send a dead message again"),
            ("delete-message", "delete a dead message"),
            ("delete", "delete a queue and its messages"),
        ],
    )
    for name, action in made.items():
        if name != "list":
            action.add_argument("name", metavar="QUEUE", help="the queue's name")
    for name in ("retry", "delete-message"):
        made[name].add_argument("message", metavar="ID", help="the message's id")
    put = made["put"]
    put.add_argument("--consumer", default=MAIN_WORKFLOW, metavar="NAME", help="the workflow that handles its messages")
    for name, kind in (
        ("max-batch-size", int),
        ("max-batch-timeout", float),
        ("max-retries", int),
        ("retry-delay", float),
        ("delivery-delay", float),
        ("max-concurrency", int),
    ):
        put.add_argument(f"--{name}", type=kind, metavar="N")
    put.add_argument("--dead-letter-queue", metavar="QUEUE")
    made["send"].add_argument("body", nargs="?", metavar="JSON|@FILE", help="the message (default: null)")
    made["send"].add_argument("--delay", type=float, metavar="SECONDS", help="deliver it after so many seconds")
    for action in made.values():
        _add_place(action)
