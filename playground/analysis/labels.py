"""The names of an outline: of steps, as far as the source shows them, and of conditions, by their source.

A name that is computed at run time becomes a pattern: `step.do(f"item {i}")` is `item {i}`. A variable that is assigned
in one place only stands for what it is assigned, and a parameter of a helper for what the call passes.
"""

import ast
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playground.analysis.syntax import Function, Placed
from playground.analysis.workflow import Workflow

MAX_TEXT = 60  # characters of a condition or of a computed part of a name
PARTS = 50  # pieces of a name that are read: variables made of variables, twice each, would be endless


Part = tuple[str, bool]  # a piece of a name, and whether it is known; else it is a placeholder


class Labels:
    """The labels of an outline. Inside a helper it knows the texts that a call passes as arguments."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._arguments: dict[ast.AST, list[Part]] = {}

    @contextmanager
    def inside(self, call: ast.Call, helper: Function) -> Iterator[None]:
        """Enter the helper of a call, where parameters with texts as arguments are known."""
        parameters = [*helper.args.posonlyargs, *helper.args.args][isinstance(call.func, ast.Attribute) :]
        filled: dict[ast.AST, ast.expr] = dict(zip(parameters, call.args, strict=False))
        filled |= {
            parameter: given.value for given in call.keywords for parameter in parameters if parameter.arg == given.arg
        }
        parts = {parameter: self._first_parts(value) for parameter, value in filled.items()}
        known_parts = {parameter: pieces for parameter, pieces in parts.items() if any(known for _, known in pieces)}
        outer, self._arguments = self._arguments, {**self._arguments, **known_parts}
        try:
            yield
        finally:
            self._arguments = outer

    def name(self, name: ast.expr, default: str) -> dict[str, Any]:
        """The name of a step, with `pattern: true` when parts of it are placeholders;
        `default` where None is written.
        """
        if isinstance(name, ast.Constant) and name.value is None:
            return {"name": default}
        parts = self._first_parts(name)
        text = "".join(part for part, _ in parts)
        return {"name": text} if all(known for _, known in parts) else {"name": text, "pattern": True}

    def text(self, node: Placed) -> str:
        """The source of a node, cut to what can be shown."""
        text = self._workflow.source.one_line(node)
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"

    def _first_parts(self, name: ast.expr) -> list[Part]:
        return list(itertools.islice(self._parts(name), PARTS))

    def _parts(self, name: ast.expr, followed: tuple[str, ...] = ()) -> Iterator[Part]:
        """The pieces of a name. `followed` are the variables resolved so far, since two may be made of each other."""
        if isinstance(name, ast.Name):
            yield from self._of_variable(name, followed)
        elif isinstance(name, ast.Constant) and isinstance(name.value, (str, int, float)):
            yield str(name.value), True
        elif isinstance(name, ast.JoinedStr):
            for value in name.values:
                yield from self._parts(value, followed)
        elif (
            isinstance(name, ast.FormattedValue)
            and name.format_spec is None
            and isinstance(name.value, (ast.Name, ast.Constant))
        ):
            yield from self._parts(name.value, followed)
        elif isinstance(name, ast.BinOp) and isinstance(name.op, ast.Add):
            yield from self._parts(name.left, followed)
            yield from self._parts(name.right, followed)
        else:
            yield "{" + self.text(name.value if isinstance(name, ast.FormattedValue) else name) + "}", False

    def _of_variable(self, name: ast.Name, followed: tuple[str, ...]) -> Iterator[Part]:
        bound = self._workflow.tree.bound(name)
        value = self._workflow.tree.value(name) if name.id not in followed else None
        if len(bound) == 1 and bound[0] in self._arguments:
            yield from self._arguments[bound[0]]
        elif isinstance(value, (ast.Constant, ast.JoinedStr)):
            yield from self._parts(value, (*followed, name.id))
        else:
            yield "{" + name.id + "}", False
