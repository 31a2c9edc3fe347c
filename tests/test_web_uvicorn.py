"""The connection limits stand on names of uvicorn that are not its interface, so that it is pinned: what moves is found
here first.
"""

import ast
import importlib.metadata
import inspect
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn
from aio import story
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

from playground.web.http import connections, server

ROOT = Path(__file__).parent.parent

# Of the request that is being answered.
CYCLE = (
    "response_complete",
    "response_started",
    "disconnected",
    "message_event",
)
PARSER = ("get_http_version",)


def pinned() -> str:
    [requirement] = [
        it
        for it in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        if it.startswith("uvicorn")
    ]
    return requirement


def class_of(module: ModuleType, name: str) -> ast.ClassDef:
    [found] = [
        it for it in ast.parse(inspect.getsource(module)).body if isinstance(it, ast.ClassDef) and it.name == name
    ]
    return found


def methods(of: ast.ClassDef) -> set[str]:
    return {it.name for it in of.body if isinstance(it, (ast.FunctionDef, ast.AsyncFunctionDef))}


def attributes(of: ast.ClassDef, owner: str) -> tuple[set[str], set[str]]:
    """The attributes of `owner` that a class uses, and those of them that it sets."""
    found = [it for it in ast.walk(of) if isinstance(it, ast.Attribute) and ast.unparse(it.value) == owner]
    return {it.attr for it in found}, {it.attr for it in found if isinstance(it.ctx, ast.Store)}


def called_above(of: ast.ClassDef) -> set[str]:
    found = (it for it in ast.walk(of) if isinstance(it, ast.Attribute) and ast.unparse(it.value) == "super()")
    return {it.attr for it in found} - {"__init__"}


def test_uvicorn_is_pinned_to_one_version_which_is_the_one_installed() -> None:
    assert re.fullmatch(r"uvicorn==\d+\.\d+\.\d+", pinned()), "the private names below are those of one version"
    version = pinned().partition("==")[2]
    assert f"\nuvicorn=={version} " in (ROOT / "requirements.lock").read_text()
    assert importlib.metadata.version("uvicorn") == uvicorn.__version__ == version


def test_what_the_protocol_overrides_or_calls_above_is_there() -> None:
    ours = class_of(connections, "LimitedHttpProtocol")
    missing = [name for name in called_above(ours) if not hasattr(httptools_impl.HttpToolsProtocol, name)]
    assert called_above(ours) >= {"connection_made", "data_received", "on_message_begin"} and missing == []
    for hook in ("send_400_response", "_unsupported_upgrade_warning", "_unset_keepalive_if_required"):
        source = inspect.getsource(httptools_impl.HttpToolsProtocol)
        assert f"self.{hook}(" in source, (
            f"uvicorn does not call {hook} any more, so that what stands in its place is dead"
        )


@story
async def test_every_private_name_that_the_protocol_uses_exists() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
    theirs = httptools_impl.HttpToolsProtocol(config, ServerState(), {})
    ours = class_of(connections, "LimitedHttpProtocol")
    used, _ = attributes(ours, "self")
    own = methods(ours) - called_above(ours)
    init = next(it for it in ours.body if isinstance(it, ast.FunctionDef) and it.name == "__init__")
    own |= {it.attr for it in ast.walk(init) if isinstance(it, ast.Attribute) and isinstance(it.ctx, ast.Store)}
    of_theirs = used - own | {"_unset_keepalive_if_required", "send_400_response", "url"}
    assert {"transport", "cycle", "pipeline", "headers", "scope", "parser", "loop"} <= of_theirs
    source = inspect.getsource(httptools_impl.HttpToolsProtocol)
    missing = [name for name in sorted(of_theirs) if not hasattr(theirs, name) and f"self.{name} = " not in source]
    assert missing == [], "uvicorn has moved what the connection limits use"
    assert all(hasattr(theirs.parser, name) for name in PARSER)


def test_every_name_of_a_request_under_way_that_the_protocol_uses_exists() -> None:
    ours = class_of(connections, "LimitedHttpProtocol")
    used = attributes(ours, "self.cycle")[0] | attributes(ours, "cycle")[0]
    assert used == {*CYCLE, "send"}, "name here what the protocol uses"
    source = inspect.getsource(httptools_impl.RequestResponseCycle)
    assert [name for name in CYCLE if f"self.{name} = " not in source] == []
    assert "send" in methods(class_of(httptools_impl, "RequestResponseCycle")), "its send is what answers go through"
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("name", ["startup", "shutdown", "capture_signals"])
def test_what_the_server_overrides_is_called_by_uvicorn(name: str) -> None:
    assert name in methods(class_of(server, "_Server"))
    assert f"self.{name}(" in inspect.getsource(uvicorn.Server) and "self.should_exit" in inspect.getsource(
        uvicorn.Server
    )
