"""Loads files of named SQL statements, so that all SQL can be read and reviewed in one place."""

from collections.abc import Sequence
from pathlib import Path

NAME = "-- name: "
ROW_STEPS = (64, 16, 4, 1)  # rows per INSERT; each size is one prepared statement


class NamedSql:
    """The SQL statements of one file, by name.

    `{other}` in a statement is replaced by the statement `other`, which must come before it.
    """

    def __init__(self, path: Path) -> None:
        self._statements: dict[str, str] = {}
        name = ""
        lines: list[str] = []
        for line in [*path.read_text(encoding="utf-8").splitlines(), NAME]:
            if line.startswith(NAME):
                if name:
                    self._add(name, "\n".join(lines).strip())
                name, lines = line.removeprefix(NAME).strip(), []
            elif not line.startswith("--"):
                lines.append(line)

    def _add(self, name: str, text: str) -> None:
        for other, statement in self._statements.items():
            text = text.replace("{" + other + "}", statement)
        self._statements[name] = text

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def names(self) -> list[str]:
        return list(self._statements)

    def rows(
        self, name: str, columns: int, steps: Sequence[int] = ROW_STEPS, *, numbered: bool = False
    ) -> Sequence[tuple[int, str]]:
        """The statement `name` for each size in `steps`, as (rows, statement), largest first.

        One statement of many rows releases the interpreter lock once, one statement per row would release it each time.
        `numbered` puts the place of a row in the statement, from 0, before its placeholders.
        """
        marks = ", ".join("?" * columns)
        rows = [f"({place}, {marks})" if numbered else f"({marks})" for place in range(steps[0])]
        return [(count, self._statements[name].replace("{rows}", ", ".join(rows[:count]))) for count in steps]
