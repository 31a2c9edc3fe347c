"""What the README shows works as it stands, and the operator's page is made from the code."""

import ast
import importlib.util
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from server_support import Server, ask

from playground.log_lines import LINES
from playground.web.http.metrics import METRICS, PREFIX

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPERATING = ROOT / "docs" / "operating.md"
TABLE = {line.event: line for line in LINES}


def test_its_workflow_runs_to_its_end(server: Server) -> None:
    (source,) = [
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class TenantWorkflow" in block
    ]
    check = ask(server.url + "/api/check", {"source": source})
    assert [found for found in check["diagnostics"] if found["severity"] in ("error", "warning")] == []
    made = ask(server.url + "/api/instances", {"source": source, "params": {"item": "lamp"}})
    here = f"{server.url}/api/instances/{made['id']}"
    event = urllib.request.Request(
        f"{here}/events/decision", b'{"approved": true}', {"Content-Type": "application/json"}
    )
    event.add_header("Authorization", f"Bearer {made['control_token']}")
    urllib.request.urlopen(event).close()
    with urllib.request.urlopen(f"{here}/stream", timeout=30) as stream:
        assert any(line.strip() == b"event: end" for line in stream)
    ended = ask(here)
    assert (ended["status"], ended["output"]) == ("complete", {"item": "lamp", "reserved": True, "approved": True})


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "//" not in link]
    assert links
    assert [link for link in links if not (Path(__file__).parent.parent / link).exists()] == []


def test_its_curl_command_starts_an_instance(server: Server) -> None:
    (body,) = re.findall(r"localhost:8000/api/instances .*-d '([^']+)'", README)
    request = urllib.request.Request(server.url + "/api/instances", body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 201


def logged() -> Iterator[tuple[str, str, set[str]]]:
    """Where, event and fields of everything that the source logs."""
    for file in sorted((ROOT / "playground").rglob("*.py")):
        if "worker" in file.parts or "embedding" in file.parts:
            continue  # what tenants and embedding programs log is theirs
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place, args = f"{file.relative_to(ROOT)}:{node.lineno}", list(node.args)
            fields = {keyword.arg for keyword in node.keywords if keyword.arg}
            if name == "partial" and args and getattr(args[0], "attr", "") == "_log":
                name, args = "_log", args[1:]
            if name == "limit" and getattr(getattr(node.func, "value", None), "attr", "") == "counts":
                yield place, "limit", fields
            if name not in ("log", "_log") or not args:
                continue
            for event in [args[0].body, args[0].orelse] if isinstance(args[0], ast.IfExp) else [args[0]]:
                if isinstance(event, ast.Constant) and isinstance(event.value, str):
                    yield place, event.value, fields


def test_every_line_that_the_source_writes_is_in_the_table_and_the_other_way_round() -> None:
    found = list(logged())
    assert len(found) > 30
    for place, event, fields in found:
        assert event in TABLE, f"{place} logs {event}, which log_lines.py does not list"
        assert fields - {"exc_info"} <= set(TABLE[event].fields), f"{place}: {event} has fields that its row lacks"
    assert TABLE.keys() - {event for _, event, _ in found} == set()


def test_the_operators_page_is_made_from_the_tables() -> None:
    spec = importlib.util.spec_from_file_location("operating", ROOT / "docs" / "operating.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = OPERATING.read_text()
    assert module.written(text) == text, "run `./run python docs/operating.py`"
    for row in METRICS:
        assert f"`{PREFIX}{row.name}" in text
    for line in LINES:
        assert f"| `{line.event}` |" in text
