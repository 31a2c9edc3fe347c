"""Parses a source into a syntax tree, converts its positions, and indexes it: parents, scopes and name bindings.

Positions are lines and columns from 1, in characters. CPython counts columns of tree nodes and of errors after parsing
in UTF-8 bytes, those of parser errors in characters. Names are resolved as Python does, or not at all.
"""

import ast
import builtins
import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.workflows.names import LINE_END

FILENAME = "<workflow>"

_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


class Placed(Protocol):
    """A node with a position, as nearly all have."""

    @property
    def lineno(self) -> int: ...

    @property
    def col_offset(self) -> int: ...

    @property
    def end_lineno(self) -> int | None: ...

    @property
    def end_col_offset(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A source that parses: its lines without their ends, and its tree."""

    text: str
    tree: ast.Module
    lines: list[str] = field(repr=False)

    def span(self, node: Placed) -> Span:
        """The position of a node; its end is the place after its last character."""
        start, end = self.place(node.lineno, node.col_offset), self.end(node)
        return Span(*start, *(end if end > start else (start[0], start[1] + 1)))

    def place(self, line: int, byte_offset: int) -> tuple[int, int]:
        """The line and column of a byte offset in a line."""
        return line, _characters(self.lines, line, byte_offset) + 1

    def end(self, node: Placed) -> tuple[int, int]:
        """The line and column after a node's last character."""
        assert node.end_lineno is not None and node.end_col_offset is not None, "the parser says where a node ends"
        return self.place(node.end_lineno, node.end_col_offset)

    def text_of(self, node: Placed) -> str:
        """The exact text of a node, for a fix that keeps it."""
        span = self.span(node)
        lines = self.lines[span.line - 1 : span.end_line]
        lines[-1] = lines[-1][: span.end_column - 1]
        lines[0] = lines[0][span.column - 1 :]
        return "\n".join(lines)

    def one_line(self, node: Placed) -> str:
        """The text of a node on one line."""
        return " ".join(self.text_of(node).split())

    def find_word(self, word: str, node: Placed) -> Span:
        """The first `word` on the first line of a node, as for the name after `class` or `def`."""
        line, column = self.place(node.lineno, node.col_offset)
        text = self.lines[line - 1]
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text[column - 1 :])
        if found is None:
            return Span(line, column, line, max(len(text), column) + 1)
        return Span(line, column + found.start(), line, column + found.end())


def parse_source(text: str) -> tuple[Source | None, list[Diagnostic]]:
    """Parse a source; without a result the diagnostics say why."""
    lines = LINE_END.split(text)
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        return None, [_at_character(text, unreadable.start())]
    tree = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tree = ast.parse(text, FILENAME)
            compile(tree, FILENAME, "exec", dont_inherit=True)
        except SyntaxError as error:
            return None, [_syntax_error(error, lines, in_bytes=tree is not None)]
        except (RecursionError, MemoryError):
            return None, [_too_deep(text)]
        except (ValueError, OverflowError, SystemError) as error:
            return None, [report("syntax", Span(1, 1, 1, 2), sentence=_as_sentence(str(error)))]
    return Source(text, tree, lines), _syntax_warnings(caught, lines)


def _at_character(text: str, index: int) -> Diagnostic:
    before = LINE_END.split(text[:index])
    line, column = len(before), len(before[-1]) + 1
    what = "null character" if text[index] == "\x00" else "lone surrogate"
    return report(
        "syntax", Span(line, column, line, column + 1), sentence=f"There is a {what} here, which Python can't read."
    )


def _syntax_error(error: SyntaxError, lines: list[str], in_bytes: bool) -> Diagnostic:
    line, end_line = error.lineno or 1, error.end_lineno or error.lineno or 1
    column, end_column = error.offset or 1, error.end_offset or 0
    if in_bytes:
        column = _characters(lines, line, column - 1) + 1
        end_column = _characters(lines, end_line, end_column - 1) + 1
    line = min(max(line, 1), len(lines))
    # Something missing at the end of a line is marked at its last character.
    column = min(max(column, 1), max(len(lines[line - 1]), 1))
    end_line = min(end_line, len(lines))
    end_column = min(end_column, len(lines[end_line - 1]) + 1)
    if (end_line, end_column) <= (line, column):
        end_line, end_column = line, column + 1
    span = Span(line, column, end_line, end_column)
    return report(
        "syntax", span, _syntax_fix(error, lines, span) if not in_bytes else None, sentence=_as_sentence(error.msg)
    )


def _syntax_fix(error: SyntaxError, lines: list[str], span: Span) -> Fix | None:
    """The fix of an error whose message determines the correction."""
    text = lines[span.line - 1]
    message = error.msg or ""
    if message == "expected ':'" and (error.offset or 0) > len(text.rstrip()):
        end = len(text.rstrip()) + 1
        return Fix("Add the colon", Span(span.line, end, span.line, end), ":")
    if message.startswith("Missing parentheses in call to 'print'") and span.line == span.end_line:
        printed = text[span.column - 1 : span.end_column - 1]
        if printed.startswith("print "):
            return Fix("Add them", span, f"print({printed[len('print ') :].strip()})")
    return None


def _too_deep(text: str) -> Diagnostic:
    """The finding for a tree too deep for Python objects; the compiler, which builds none, may accept the source."""
    try:
        compile(text, FILENAME, "exec", dont_inherit=True)
    except Exception:  # noqa: BLE001 - whatever it raises, the worker would fail in the same way
        return report("syntax", Span(1, 1, 1, 2), sentence="This is nested too deeply for Python to read.")
    return report("too-deep", Span(1, 1, 1, 2))


def _syntax_warnings(caught: list[warnings.WarningMessage], lines: list[str]) -> list[Diagnostic]:
    message = {}
    for warning in caught:
        if issubclass(warning.category, SyntaxWarning) and 1 <= warning.lineno <= len(lines):
            text = lines[warning.lineno - 1]
            column = len(text) - len(text.lstrip()) + 1
            span = Span(warning.lineno, column, warning.lineno, max(len(text), column) + 1)
            message[span, str(warning.message)] = report(
                "syntax-warning", span, sentence=_as_sentence(str(warning.message))
            )
    return list(message.values())


def _characters(lines: list[str], line: int, byte_offset: int) -> int:
    if not 1 <= line <= len(lines):
        return 0
    text = lines[line - 1]
    if text.isascii():
        return min(max(byte_offset, 0), len(text))
    return len(text.encode()[: max(byte_offset, 0)].decode(errors="ignore"))


def _as_sentence(sentence: str | None) -> str:
    sentence = (sentence or "invalid syntax").strip()
    return sentence[:1].upper() + sentence[1:] + ("" if sentence.endswith((".", "?", "!")) else ".")


Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef, ast.Module, *COMPREHENSIONS)

Kind = TypeVar("Kind", bound=ast.AST)

_SKIPPED_FIELDS = frozenset(
    {"ctx", "op", "ops", "type_ignores", "type_comment", "kind", "conversion", "simple", "level"}
)
_SCOPE_KINDS = frozenset(SCOPES)
_BINDERS = frozenset({
    *FUNCTIONS, ast.ClassDef, ast.arg, ast.alias, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping,
    ast.Global, ast.Nonlocal
})  # fmt: skip
_TYPE_PARAMETERS = frozenset({"TypeVar", "ParamSpec", "TypeVarTuple"})  # Python 3.12
_BUILTINS = frozenset(dir(builtins))
_FIELDS = {
    kind: tuple(name for name in kind._fields if name not in _SKIPPED_FIELDS)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes directly under a node, in the order of its fields."""
    for name in _FIELDS[node.__class__]:
        value = getattr(node, name, None)
        if value.__class__ is list:
            for item in value:
                if isinstance(item, ast.AST):
                    yield item
        elif isinstance(value, ast.AST):
            yield value


def below(node: ast.AST) -> Iterator[ast.AST]:
    """A node and everything under it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(children(node))))


class Tree:
    """The index of a module's tree. `bindings[scope][name]` lists the nodes that bind the name there."""

    def __init__(self, module: ast.Module) -> None:
        self.module = module
        self.parents: dict[ast.AST, ast.AST] = {}
        self.outer: dict[ast.AST, ast.AST] = {}  # the module has none
        self.scope: dict[ast.AST, ast.AST] = {}
        self.bindings: dict[ast.AST, dict[str, list[ast.AST]]] = {module: {}}
        self.origins: dict[ast.alias, str | None] = {}  # full names of what imports bind
        self.loads: dict[str, list[ast.Name]] = defaultdict(list)
        self.nodes_by_type: dict[type, list[Any]] = defaultdict(list)
        self.escaped: set[str] = set()  # names declared global or nonlocal: too many writers to follow
        self.declared: dict[ast.AST, dict[str, bool]] = {}  # by scope; whether global
        self.star_import = False
        self._index()

    def resolve(self, name: str, scope: ast.AST | None) -> tuple[ast.AST | None, list[ast.AST]]:
        """The scope that binds a name as seen from `scope`, and the binding nodes; (None, []) for one bound nowhere."""
        start = scope
        while scope is not None:
            found = self.bindings[scope].get(name)
            if found and (scope is start or not isinstance(scope, ast.ClassDef)):
                return scope, found
            scope = self.outer.get(scope)
        return None, []

    def home(self, name: str, scope: ast.AST | None) -> ast.AST | None:
        """The scope that has the variable of a name as seen from `scope`, with regard to `global` and `nonlocal`."""
        start = scope
        while scope is not None:
            is_global = self.declared.get(scope, {}).get(name)
            if is_global:
                return self.module
            if (
                is_global is None
                and name in self.bindings[scope]
                and (scope is start or not isinstance(scope, ast.ClassDef))
            ):
                return scope
            scope = self.outer.get(scope)
        return None

    def bound(self, name: ast.Name) -> list[ast.AST]:
        """The nodes that bind what a name refers to; empty when unknown."""
        return [] if name.id in self.escaped else self.resolve(name.id, self.scope.get(name))[1]

    def dotted(self, node: ast.AST) -> str | None:
        """The full name of an imported thing or a builtin, as in `datetime.datetime.now`; None for everything else."""
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base and not base.startswith("builtins.") else None
        if not isinstance(node, ast.Name) or node.id in self.escaped:
            return None
        scope, bound = self.resolve(node.id, self.scope.get(node))
        if scope is None:
            return f"builtins.{node.id}" if node.id in _BUILTINS and not self.star_import else None
        imported = [binding for binding in bound if isinstance(binding, ast.alias)]
        return self.origins[imported[0]] if len(imported) == len(bound) else None

    def function(self, node: ast.AST) -> Function | None:
        """The one function of the module that a name refers to."""
        bound = self.bound(node) if isinstance(node, ast.Name) else []
        return bound[0] if len(bound) == 1 and isinstance(bound[0], FUNCTIONS) else None

    def value(self, node: ast.AST) -> ast.expr | None:
        """The expression a name stands for, when it is assigned in one place only."""
        bound = self.bound(node) if isinstance(node, ast.Name) else []
        if len(bound) != 1 or not isinstance(bound[0], ast.Name):
            return None
        parent = self.parents.get(bound[0])
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and parent.targets[0] is bound[0]:
            return parent.value
        return parent.value if isinstance(parent, ast.AnnAssign) and parent.target is bound[0] else None

    def uses(self, binding: ast.Name) -> list[ast.Name]:
        """Where an assigned name is read."""
        home = self.resolve(binding.id, self.scope[binding])[0]
        return [load for load in self.loads[binding.id] if self.resolve(binding.id, self.scope[load])[0] is home]

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The ancestors of a node, nearest first."""
        while (found := self.parents.get(node)) is not None:
            yield found
            node = found

    def enclosing(self, node: ast.AST) -> ast.AST:
        """The function, lambda, class or module that runs a node."""
        scope = self.scope[node]
        while isinstance(scope, COMPREHENSIONS):
            scope = self.outer[scope]
        return scope

    def within(self, kinds: tuple[type[Kind], ...], owners: Collection[ast.AST]) -> Iterator[Kind]:
        """The nodes of these kinds that run when one of `owners` (functions, classes, the module) runs; those of nested
        functions are left out.
        """
        for kind in kinds:
            for node in self.nodes_by_type[kind]:
                if self.enclosing(node) in owners:
                    yield node

    def _index(self) -> None:
        waiting: list[tuple[ast.AST, ast.AST]] = [(child, self.module) for child in reversed(self.module.body)]
        self.parents.update((child, self.module) for child in self.module.body)
        while waiting:
            node, scope = waiting.pop()
            kind = node.__class__
            self.nodes_by_type[kind].append(node)
            self.scope[node] = scope
            if isinstance(node, ast.Name):
                self._name(node, scope)
                continue
            inner = scope
            outside: Container[ast.AST] = ()
            if kind in _BINDERS or kind.__name__ in _TYPE_PARAMETERS:
                self._bind(node, scope)
            if kind in _SCOPE_KINDS:
                inner = node
                self.outer[node] = scope
                self.bindings[node] = {}
                outside = set(_outer_parts(node)) if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else ()
            elif isinstance(node, ast.arguments):  # the scope is the function's, but defaults are evaluated outside
                scope, inner, outside = self.outer[scope], scope, set(_defaults(node))
            below = list(children(node))
            for child in reversed(below):
                self.parents[child] = node
                waiting.append((child, scope if child in outside else inner))

    def _name(self, node: ast.Name, scope: ast.AST) -> None:
        if isinstance(node.ctx, ast.Load):
            self.loads[node.id].append(node)
            return
        if isinstance(self.parents[node], ast.NamedExpr):
            while isinstance(scope, COMPREHENSIONS):
                scope = self.outer[scope]
        self._add(scope, node.id, node)

    def _bind(self, node: ast.AST, scope: ast.AST) -> None:
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            self.escaped.update(node.names)
            self.declared.setdefault(scope, {}).update(dict.fromkeys(node.names, isinstance(node, ast.Global)))
        elif isinstance(node, ast.alias):
            self.star_import = self.star_import or node.name == "*"
            self._add(scope, node.asname or node.name.partition(".")[0], node)
            self.origins[node] = self._origin(node)
        else:
            name = (
                node.arg
                if isinstance(node, ast.arg)
                else node.rest
                if isinstance(node, ast.MatchMapping)
                else getattr(node, "name", None)
            )
            if name is not None:
                self._add(scope, name, node)

    def _add(self, scope: ast.AST, name: str, node: ast.AST) -> None:
        self.bindings[scope].setdefault(name, []).append(node)

    def _origin(self, alias: ast.alias) -> str | None:
        statement = self.parents[alias]
        if isinstance(statement, ast.ImportFrom):
            return None if statement.level else f"{statement.module}.{alias.name}"
        return alias.name if alias.asname else alias.name.partition(".")[0]


def _outer_parts(node: Function | ast.ClassDef) -> Iterator[ast.AST]:
    """The parts of a definition that run with the definition itself: decorators, defaults, bases."""
    if isinstance(node, ast.ClassDef):
        yield from (*node.decorator_list, *node.bases, *node.keywords)
        return
    yield from _defaults(node.args)
    yield from node.decorator_list


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    return (default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None)
