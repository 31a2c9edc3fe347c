"""The rooms of the architecture: which may import which, and which must do with the standard library."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "playground"
# Programs that embed us are no room: they import what any program may.
FILES = sorted(file for file in PACKAGE.rglob("*.py") if "embedding" not in file.parts)

# Whatever a room may import of ours, besides itself. Values of settings are passed in, except where the table says
# `settings`.
MAY_IMPORT = {
    "workflows": set(),
    "store": {"workflows"},
    "packages": set(),
    "sandbox": {"workflows", "packages"},
    "outbound": set(),
    "worker": {"workflows"},
    "analysis": {"workflows"},
    "cloudflare": {"workflows"},
    "runfiles": {"workflows"},
    "engine": {"workflows", "store", "sandbox", "outbound", "settings"},
    "web": {
        *("workflows", "cloudflare", "runfiles", "engine", "analysis", "store", "examples", "settings", "paths"),
        "process",
    },
    "testing": {"workflows", "runfiles", "store", "packages", "sandbox", "outbound", "worker", "engine", "settings"},
    "examples": set(),
    "settings": set(),
    "paths": set(),
    "process": set(),
    "log": {"log_lines"},
    "log_lines": set(),
    "opening": {"settings", "store", "packages", "sandbox", "log_lines"},
    "serving": {
        "workflows",
        "store",
        "sandbox",
        "engine",
        "web",
        "examples",
        "settings",
        "paths",
        "log",
        "log_lines",
        "process",
        "opening",
    },
    "processes": {"serving", "settings", "log", "log_lines", "web"},
    "checking": {"settings", "engine", "sandbox", "workflows", "opening", "log_lines"},
    "client": {"workflows", "web"},  # of web the types of its answers only: CLIENT_MAY_SEE
    "terminal": {
        "client",
        "workflows",
        "cloudflare",
        "examples",
        "runfiles",
        "store",
        "sandbox",
        "engine",
        "web",
        "testing",
        "settings",
        "opening",
        "serving",
        "log",
        "log_lines",
        "process",
    },
    "cli": {"settings", "serving", "processes", "commands", "checking", "terminal"},
    "commands": {"settings", "store", "engine", "web", "workflows", "opening", "progress"},
    "progress": set(),
    "__main__": {"cli"},
    "pytest_plugin": {"testing", "worker"},
    "library": {"workflows", "engine", "settings", "log_lines", "opening"},
    "": {"library"},
}
# Where a locked child begins: what it is asked decides which room it becomes.
ALSO = {"worker/main.py": {"analysis", "sandbox"}}
# A program that uses the client must not load the server with it.
CLIENT_MAY_SEE = {"playground.web.api.response_types", "playground.web.http.tokens"}
# The name under which tenants import their API; it exists inside a worker only.
TENANT_API = "workers"
STANDARD_LIBRARY_ONLY = {
    "workflows",
    "worker",
    "analysis",
    "cloudflare",
    "examples",
    "settings",
    "paths",
    "log_lines",
    "progress",
}


def room_of(file: Path) -> str:
    """The folder of `file` in the package, or the module's own name at the top level."""
    first = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def names(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line, absolute module name and what is taken from it, for every import in `file`, also inside functions and for
    types only.
    """
    package = ["playground", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, module, name.name) for name in node.names)


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute module name of every import in `file`."""
    for line, module, name in names(file):
        yield line, f"playground.{name}" if module == "playground" and name else module


def graph(files: list[Path]) -> Mapping[str, set[str]]:
    """Which of these modules each of them imports."""
    known = {
        ".".join(["playground", *file.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): file
        for file in files
    }
    found = {
        module: {f"{name}.{it}" if f"{name}.{it}" in known else name for _, name, it in names(file)}
        for module, file in known.items()
    }
    return {module: imported & known.keys() - {module} for module, imported in found.items()}


def circle(modules: Mapping[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing."""
    try:
        TopologicalSorter(modules).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


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


def test_every_room_is_in_the_table_and_no_other() -> None:
    assert {room_of(file) for file in FILES} == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_downwards_only(room: str) -> None:
    assert [found for file in FILES if room_of(file) == room for found in wrong(file)] == []


@pytest.mark.quick
def test_a_server_listens_before_it_reads_what_is_large() -> None:
    code = "import sys, playground.serving; print(*(name for name in sys.modules if name.startswith('playground.')))"
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[1] for name in read} <= {
        "serving",
        "settings",
        "paths",
        "log",
        "log_lines",
        "process",
        "web",
        "workflows",  # errors only
    }


def test_a_client_knows_of_the_server_only_the_types_of_its_answers() -> None:
    found = {module for file in (PACKAGE / "client").glob("*.py") for _, module in imports(file)}
    assert {module for module in found if module.startswith("playground.web")} <= CLIENT_MAY_SEE


def test_what_is_done_beside_a_server_knows_no_database_by_name() -> None:
    for name in ("commands", "opening", "serving", "library"):
        assert not [module for _, module in imports(PACKAGE / f"{name}.py") if "sqlite" in module]


def test_no_import_goes_round() -> None:
    """Not for types only either: where two files need each other's types, one of them is too large, or a protocol is
    missing.
    """
    assert circle(graph(FILES)) == []


def test_a_circle_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "store").mkdir()
    sources = {
        "a": "from playground.store import b",
        "b": "def f():\n    import playground.store.c",
        "c": "if TYPE_CHECKING:\n    from .a import A",
    }
    for name, source in sources.items():
        (tmp_path / "store" / f"{name}.py").write_text(source)
    files = sorted(tmp_path.rglob("*.py"))
    assert sorted(set(circle(graph(files)))) == ["playground.store.a", "playground.store.b", "playground.store.c"]
    assert circle(graph(files[:2])) == []


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
