"""`playground completion SHELL`: a script that completes commands, actions, options and their choices, made from the
parsers, so that it knows every option there is. Where a file is named, the shell completes files; where a run is, the
ids of those that were started from here, which the script reads from the file of runs (state.py) without starting us.
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from playground.terminal.parser import build_parser

RUN, RUNS = "ID", ("id", "resume")  # the metavar of a run that there is, and where it is kept
FILES = ("FILE", "@FILE")  # in a metavar: what is typed there may be a file


class Words(NamedTuple):
    """What may come after a command: its actions, and its options with their choices (a None takes any value).

    `takes_run`: the id of a run; `runs_after`: the options that take one.
    """

    actions: Mapping[str, str]
    options: Mapping[str, tuple[str, ...] | None]
    takes_files: bool
    takes_run: bool = False
    runs_after: tuple[str, ...] = ()


Parsers = Mapping[str, argparse.ArgumentParser]


def script(shell: str, server: argparse.ArgumentParser, others: Parsers) -> str:
    """The script for a shell: bash, zsh or fish. `server`: the parser of the program without a command; `others`:
    those of the commands that are not the terminal's.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](words(server, others))


def words(server: argparse.ArgumentParser, others: Parsers) -> dict[str, Words]:
    """What may come after each command, by the words before it ("" for the program itself)."""
    found = dict(_walk(build_parser(), ""))
    for name, parser in others.items():
        found |= dict(_walk(parser, name))
    more = {name: parser.description or "" for name, parser in others.items()}
    found[""] = Words({**found[""].actions, **more}, _words_of(server, {}).options, False)
    return found


def _walk(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, Words]]:
    inner: dict[str, argparse.ArgumentParser] = {}
    helps: dict[str, str] = {}
    for action in parser._actions:  # argparse has no other way to its options
        if isinstance(action, argparse._SubParsersAction):
            inner |= action.choices
            helps |= {it.dest: it.help or "" for it in action._choices_actions}
    yield path, _words_of(parser, {name: helps.get(name, "") for name in inner})
    for name, sub in inner.items():
        yield from _walk(sub, f"{path} {name}".strip())


def _words_of(parser: argparse.ArgumentParser, actions: Mapping[str, str]) -> Words:
    options: dict[str, tuple[str, ...] | None] = {}
    files = takes_run = False
    runs_after: tuple[str, ...] = ()
    shown = dict(actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        values = () if action.nargs == 0 else None if action.choices is None else tuple(map(str, action.choices))
        files = files or any(word in str(action.metavar) for word in FILES)
        if action.metavar == RUN and action.dest in RUNS:
            takes_run, runs_after = takes_run or not action.option_strings, (*runs_after, *action.option_strings)
        for option in action.option_strings:
            if option.startswith("--"):
                options[option] = values
        if not action.option_strings and action.choices:
            shown |= dict.fromkeys(map(str, action.choices), action.help or "")
    return Words(shown, options, files, takes_run, runs_after)


# A command's words before the one that is completed, without options and what follows them, name a row of the table.

_IDS = """_playground_runs() {{
    sed -n 's/.*"id": "\\([^"]*\\)".*/\\1/p' "${{XDG_STATE_HOME:-$HOME/.local/state}}/playground/runs.jsonl" 2>/dev/null
}}
"""

_BASH = (
    """# bash completion of playground; made by `playground completion bash`
"""
    + _IDS
    + """\
_playground() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" path="" it
    for it in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $it" in
{paths}
        esac
    done
    local words="" files=""
    case "$path $before" in
{choices}
    esac
    if [ -z "$words" ]; then
        case "$path" in
{rows}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [ ${{#COMPREPLY[@]}} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$word")); fi
}}
complete -o filenames -F _playground playground
"""
)


_BASH_RUNS, _ZSH_RUNS = " $(_playground_runs)", ' ${(f)"$(_playground_runs)"}'


def _bash(table: Mapping[str, Words]) -> str:
    paths = [f'            "{_parent(path)} {path.split()[-1]}") path="{path}" ;;' for path in table if path]
    choices = [
        f'        "{path} {option}") words="{" ".join(values)}" ;;'
        for path, row in table.items()
        for option, values in row.options.items()
        if values
    ]
    choices += [
        f'        "{path} {option}") words="$(_playground_runs)" ;;'
        for path, row in table.items()
        for option in row.runs_after
    ]
    rows = []
    for path, row in table.items():
        listed = " ".join([*row.actions, *row.options]) + (_BASH_RUNS if row.takes_run else "")
        rows.append(f'            "{path}") words="{listed}" ;;')
    return _BASH.format(paths="\n".join(paths), choices="\n".join(choices), rows="\n".join(rows))


_ZSH = (
    """#compdef playground
# zsh completion of playground; made by `playground completion zsh`
"""
    + _IDS
    + """\
_playground() {{
    local place="" it before="${{words[CURRENT-1]}}"
    local -a found
    for it in "${{words[@]:1:$((CURRENT-2))}}"; do
        case "$place $it" in
{paths}
        esac
    done
    case "$place $before" in
{choices}
    esac
    if (( ! ${{#found}} )); then
        case "$place" in
{rows}
        esac
    fi
    _describe 'playground' found
    _files
}}
if [ "$funcstack[1]" = "_playground" ]; then _playground "$@"; else compdef _playground playground; fi
"""
)


def _zsh(table: Mapping[str, Words]) -> str:
    paths = [f'            "{_parent(path)} {path.split()[-1]}") place="{path}" ;;' for path in table if path]
    choices = [
        f'        "{path} {option}") found=({" ".join(values)}) ;;'
        for path, row in table.items()
        for option, values in row.options.items()
        if values
    ]
    choices += [
        f'        "{path} {option}") found=({_ZSH_RUNS}) ;;' for path, row in table.items() for option in row.runs_after
    ]
    rows = []
    for path, row in table.items():
        listed = [_quoted(f"{name}:{help}" if help else name) for name, help in row.actions.items()]
        listed += [_quoted(option) for option in row.options]
        rows.append(f'            "{path}") found=({" ".join(listed)}{_ZSH_RUNS if row.takes_run else ""}) ;;')
    return _ZSH.format(paths="\n".join(paths), choices="\n".join(choices), rows="\n".join(rows))


_FISH_HEAD = """# fish completion of playground; made by `playground completion fish`
function _playground_runs
    set -l state $XDG_STATE_HOME
    test -n "$state"; or set state $HOME/.local/state
    sed -n 's/.*"id": "\\([^"]*\\)".*/\\1/p' $state/playground/runs.jsonl 2>/dev/null
end
"""


def _fish(table: Mapping[str, Words]) -> str:
    lines = [*_FISH_HEAD.splitlines()]
    for path, row in table.items():
        seen = path.split()
        actions = " ".join(row.actions)
        test = " and ".join(f"__fish_seen_subcommand_from {word}" for word in seen).replace(" and ", "; and ")
        if actions:
            no_more = f"not __fish_seen_subcommand_from {actions}"
            when = f"{test}; and {no_more}" if test else no_more
            for name, help in row.actions.items():
                lines.append(f"complete -c playground -f -n {_quoted(when)} -a {_quoted(name)} -d {_quoted(help)}")
        if row.takes_run:
            lines.append(f"complete -c playground -f -n {_quoted(test)} -a '(_playground_runs)'")
        for option, values in row.options.items():
            line = f"complete -c playground -l {option[2:]}"
            if test:
                line += f" -n {_quoted(test)}"
            if option in row.runs_after:
                line += " -x -a '(_playground_runs)'"
            elif values is None:
                line += " -r"
            elif values:
                line += f" -x -a {_quoted(' '.join(values))}"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _parent(path: str) -> str:
    return path.rpartition(" ")[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
