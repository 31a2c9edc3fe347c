"""The rooms of the architecture: which may import which, and which must do with the standard library."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "playground"
# Programs that embed us are no room: they import what any program may.
FILES = sorted(file for file in PACKAGE.rglob("*.py") if "embedding" not in file.parts)

# Whatever a room may import of ours, besides itself. Values of settings are passed in, except where the table says `settings`.
MAY_IMPORT = {
    "workflows": set(),
    "store": {"workflows"},
    "sandbox": {"workflows"},
    "worker": {"workflows"},
    "analysis": {"workflows"},
    "engine": {"workflows", "store", "sandbox", "settings"},
    "web": {"workflows", "engine", "analysis", "store", "examples", "settings", "paths"},
    "testing": {"workflows", "store", "sandbox", "worker", "engine", "settings"},
    "examples": set(),
    "settings": set(),
    "paths": set(),
    "allocator": set(),
    "log": {"log_lines"},
    "log_lines": set(),
    "serving": {"workflows", "store", "sandbox", "engine", "web", "examples", "settings", "paths", "log", "allocator"},
    "cli": {"settings", "serving", "commands"},
    "commands": {"settings", "store", "engine", "web", "workflows"},
    "__main__": {"cli"},
    "library": {"workflows", "store", "sandbox", "engine", "settings", "log_lines"},
    "": {"library"},
}
# Where a locked child begins: what it is asked decides which room it becomes.
ALSO = {"worker/main.py": {"analysis", "sandbox"}}
# The name under which tenants import their API; it exists inside a worker only.
TENANT_API = "workers"
STANDARD_LIBRARY_ONLY = {"workflows", "worker", "analysis", "examples", "settings", "paths", "log_lines"}


def room_of(file: Path) -> str:
    """The folder of `file` in the package, or the module's own name at the top level."""
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of every import in `file`, also inside functions."""
    package = ["playground", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "playground":
                yield from ((node.lineno, f"playground.{name.name}") for name in node.names)
            else:
                yield node.lineno, module


def wrong(file: Path) -> Iterator[str]:
    room = room_of(file)
    allowed = {room} | MAY_IMPORT[room] | ALSO.get(file.relative_to(PACKAGE).as_posix(), set())
    for line, module in imports(file):
        first, _, rest = module.partition(".")
        where = f"{file.relative_to(PACKAGE.parent)}:{line} imports {module}"
        if first == "playground":
            other = rest.partition(".")[0]
            if other and other not in allowed:
                yield where
        elif room in STANDARD_LIBRARY_ONLY and first not in sys.stdlib_module_names | {TENANT_API}:
            yield where


def test_every_room_is_in_the_table() -> None:
    assert {room_of(file) for file in FILES} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_downwards_only(room: str) -> None:
    assert [found for file in FILES if room_of(file) == room for found in wrong(file)] == []


def test_imports_are_seen_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    file = tmp_path / "store" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "import playground.web\nfrom playground import engine\nfrom ..sandbox import y\ndef f():\n    from . import z\n"
    )
    assert list(imports(file)) == [
        (1, "playground.web"),
        (2, "playground.engine"),
        (3, "playground.sandbox"),
        (5, "playground.store"),
    ]
    assert len(list(wrong(file))) == 3
