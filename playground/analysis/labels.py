"""What the outline calls things: conditions as they are written, and step names as far as they can be told before a
run.
"""

import ast
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playground.analysis.syntax import Placed
from playground.analysis.tree import Function
from playground.analysis.workflow import Workflow

TEXT = 60  # characters of a condition or of a computed part of a name
PARTS = 50  # pieces looked at of a name: variables made of variables, twice each, would never end


Part = tuple[str, bool]  # a piece of a name, and whether it is known or a placeholder for what only the run can tell


class Labels:
    """The words of an outline while it is drawn; within a helper it knows the texts that a call gave to its
    parameters.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._given: dict[ast.AST, list[Part]] = {}

    @contextmanager
    def inside(self, call: ast.Call, helper: Function) -> Iterator[None]:
        """Look through a call at its helper: parameters that it fills with texts are known there."""
        parameters = [*helper.args.posonlyargs, *helper.args.args][isinstance(call.func, ast.Attribute) :]
        filled: dict[ast.AST, ast.expr] = dict(zip(parameters, call.args, strict=False))
        filled |= {
            parameter: given.value for given in call.keywords for parameter in parameters if parameter.arg == given.arg
        }
        parts = {parameter: self._first_parts(value) for parameter, value in filled.items()}
        told = {parameter: pieces for parameter, pieces in parts.items() if any(known for _, known in pieces)}
        outer, self._given = self._given, {**self._given, **told}
        try:
            yield
        finally:
            self._given = outer

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
        words = self._workflow.source.words(node)
        return words if len(words) <= TEXT else words[: TEXT - 1] + "…"

    def _first_parts(self, name: ast.expr) -> list[Part]:
        return list(itertools.islice(self._parts(name), PARTS))

    def _parts(self, name: ast.expr, followed: tuple[str, ...] = ()) -> Iterator[Part]:
        """The pieces of a name; `followed` are the variables looked behind so far, against two that are made of each
        other.
        """
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
        if len(bound) == 1 and bound[0] in self._given:
            yield from self._given[bound[0]]
        elif isinstance(value, (ast.Constant, ast.JoinedStr)):
            yield from self._parts(value, (*followed, name.id))
        else:
            yield "{" + name.id + "}", False
