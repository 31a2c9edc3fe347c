"""compose.yaml holds together: its settings exist, its parts name each other rightly, and its nginx.conf does in a real
nginx, before real nodes, what the file promises.
"""

import ipaddress
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from http_support import APPROVAL, DEADLINE, bearer
from install_support import install_from_debian
from server_support import Server, free_port

from playground.processes import STOP_SECONDS
from playground.settings import ENV_PREFIX, SHARED_DATABASES, Settings, from_environment

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "compose.yaml"
NGINX = (ROOT / "compose.nginx.conf").read_text()
GIVEN = {"POSTGRES_PASSWORD": "hush", "PLAYGROUND_OPERATOR_TOKEN": "op"}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled(loaded: Any) -> Any:
    """With what docker compose puts in the place of variables, which it does in values, once they are parsed."""
    if isinstance(loaded, dict):
        return {name: filled(value) for name, value in loaded.items()}
    if isinstance(loaded, list):
        return [filled(value) for value in loaded]
    return VARIABLE.sub(_value, loaded) if isinstance(loaded, str) else loaded


def _value(found: "re.Match[str]") -> str:
    name, kind, default = found.groups()
    assert name in GIVEN or kind == "-", f"{name} has neither a value nor a default"
    return GIVEN.get(name, default or "")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = filled(yaml.safe_load(COMPOSE.read_text()))
    return loaded


def nodes_of(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    services = compose["services"]
    return {name: services[name] for name in services if "PLAYGROUND_NODE" in services[name].get("environment", {})}


def test_each_node_has_settings_that_exist_and_a_name_of_its_own(compose: dict[str, Any]) -> None:
    nodes = nodes_of(compose)
    assert len(nodes) == 2
    for name, service in nodes.items():
        assert all(variable.startswith(ENV_PREFIX) for variable in service["environment"])
        settings = Settings(**from_environment(service["environment"]))  # an unknown or bad one is refused
        assert (settings.node, settings.operator_token) == (name, "op")
        assert settings.secrets_key == "" and settings.public_url == "http://localhost:8000"
        assert service["stop_grace_period"] == "40s" and settings.drain_seconds + STOP_SECONDS < 40
        assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_the_nodes_share_the_database_that_is_there(compose: dict[str, Any]) -> None:
    [url] = {service["environment"]["PLAYGROUND_DATABASE"] for service in nodes_of(compose).values()}
    made = compose["services"]["postgres"]["environment"]
    assert url == f"{SHARED_DATABASES[0]}{made['POSTGRES_USER']}:hush@postgres/{made['POSTGRES_DB']}"
    assert made["POSTGRES_PASSWORD"] == "hush"
    volume = compose["services"]["postgres"]["volumes"][0].partition(":")[0]
    assert volume in compose["volumes"]


def test_the_proxy_is_the_one_that_the_nodes_trust_and_the_only_one_that_is_reached(compose: dict[str, Any]) -> None:
    proxy = compose["services"]["proxy"]
    address = proxy["networks"]["inside"]["ipv4_address"]
    [subnet] = compose["networks"]["inside"]["ipam"]["config"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet["subnet"])
    for service in nodes_of(compose).values():
        assert service["environment"]["PLAYGROUND_TRUSTED_PROXIES"] == address
    assert {name for name, service in compose["services"].items() if "ports" in service} == {"proxy"}
    assert proxy["ports"] == ["127.0.0.1:8000:80"], "the machine's own, until TLS is before it"
    assert f"./{COMPOSE.with_name('compose.nginx.conf').name}:" in proxy["volumes"][0]


def test_nginx_knows_the_nodes_at_the_port_of_their_image(compose: dict[str, Any]) -> None:
    port = re.findall(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]
    assert re.findall(r"^ +server (\S+):(\d+) ", NGINX, re.MULTILINE) == [(name, port) for name in nodes_of(compose)]
    health = " ".join(nodes_of(compose)["node-1"]["healthcheck"]["test"])
    assert f"127.0.0.1:{port}/readyz" in health


# In a real nginx.


def nginx() -> str:
    """The program, installed where it is missing."""
    path = "/usr/sbin:/usr/bin:/usr/local/bin"
    why = "" if shutil.which("nginx", path=path) else install_from_debian(["nginx-light"])
    found = shutil.which("nginx", path=path)
    assert found is not None, f"there is no nginx to test with; apt-get install nginx-light ({why})"
    return found


@pytest.fixture
def nodes(postgres_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    options = ("--database", postgres_url, "--trusted-proxies", "127.0.0.1", "--public-url", "http://localhost:8000")
    started = []
    try:
        for name in ("node-1", "node-2"):
            folder = tmp_path / name
            folder.mkdir()
            started.append(Server(folder, *options, "--node", name, "--allowed-hosts", "*").start())
        yield started
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def proxy(nodes: list[Server], tmp_path: Path) -> Iterator[httpx2.Client]:
    port, text = free_port(), NGINX
    for number, server in enumerate(nodes, 1):
        text = text.replace(f"node-{number}:8000", f"127.0.0.1:{server.port}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\n{text}\n}}\n"
    )
    process = subprocess.Popen([nginx(), "-c", str(conf), "-p", str(tmp_path)], stderr=subprocess.DEVNULL)
    transport = httpx2.HTTPTransport(retries=20)  # until it listens
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False, transport=transport
    ) as client:
        yield client
    process.terminate()
    process.wait(DEADLINE)


def test_a_stream_flows_through_nginx_and_a_killed_node_is_left_out(nodes: list[Server], proxy: httpx2.Client) -> None:
    assert proxy.get("/metrics").status_code == 404
    names = {proxy.get("/healthz").json()["node"]["name"] for _ in range(8)}
    assert names == {"node-1", "node-2"}, "both answer"
    made = proxy.post("/api/instances", json={"source": APPROVAL}).raise_for_status().json()
    with proxy.stream("GET", f"/api/instances/{made['id']}/stream") as stream:
        lines = stream.iter_lines()
        # The stream is open and nothing ends it: what nginx buffered would not come.
        assert any('"type":"wait_started"' in line for line in lines)
        event = f"/api/instances/{made['id']}/events/approved"
        assert proxy.post(event, json={"approved": True}, headers=bearer(made)).is_success
        assert any('"type":"workflow_completed"' in line for line in lines)
    nodes[0].kill()
    answers = [proxy.get("/healthz") for _ in range(8)]
    assert {answer.json()["node"]["name"] for answer in answers} == {"node-2"}
    assert proxy.get(f"/api/instances/{made['id']}").json()["status"] == "complete"
