"""What the README shows works as it stands."""

import re
import urllib.request
from pathlib import Path

from server_support import Server, ask

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_its_workflow_runs_to_its_end(server: Server) -> None:
    (source,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "class TenantWorkflow" in block]
    check = ask(server.url + "/api/check", {"source": source})
    assert [found for found in check["diagnostics"] if found["severity"] in ("error", "warning")] == []
    made = ask(server.url + "/api/instances", {"source": source, "params": {"item": "lamp"}})
    here = f"{server.url}/api/instances/{made['id']}"
    event = urllib.request.Request(f"{here}/events/decision", b'{"approved": true}', {"Content-Type": "application/json"})
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
