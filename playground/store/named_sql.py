"""SQL lives in files of named statements, readable on their own; this loads them."""

from collections.abc import Sequence
from pathlib import Path

NAME = "-- name: "
ROW_STEPS = (64, 16, 4, 1)  # rows that one INSERT takes; each size is one prepared statement


class NamedSql:
    """The statements of one file.

    `{other}` in a statement stands for the statement named `other`, which comes before it.
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

    def rows(self, name: str, columns: int) -> Sequence[tuple[int, str]]:
        """The statement `name` for each number of rows that it is prepared for, most rows first.

        One statement of many rows gives the interpreter lock away once, where one per row would give it away each time.
        """
        row = "(" + ", ".join("?" * columns) + ")"
        return [(count, self._statements[name].replace("{rows}", ", ".join([row] * count))) for count in ROW_STEPS]
