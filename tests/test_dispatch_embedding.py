"""The examples of embedding, run as the README says: by their command, and asked as a person with curl or a keyboard
would.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0  # seconds

PYTHON = [sys.executable, "-X", "dev", "-u"]
CUSTOMERS, PLAN = "playground.examples.embedding.two_customers", "playground.examples.embedding.generated_plan"
PORT = "8100"  # in the example, and in the README


def answers(text: str) -> str:
    return f"""
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        got = await step.wait_for_event("go", "go", timeout="1 hour")
        return f"{text} {{event['payload']['name']}}, {{got['payload']}}"
"""


@contextlib.contextmanager
def platform(folder: Path) -> Iterator[httpx2.Client]:
    """The platform of two customers, served from a folder; on another port than its own, which may be taken."""
    with socket.create_server(("127.0.0.1", 0)) as sock:  # which the server takes over: nobody else can have the port
        port, fd = sock.getsockname()[1], sock.fileno()
        serve = (
            f"import socket, uvicorn, {CUSTOMERS} as it; "
            f"uvicorn.Server(uvicorn.Config(it.app, port=0)).run(sockets=[socket.socket(fileno={fd})])"
        )
        process = subprocess.Popen(
            [*PYTHON, "-c", serve], cwd=folder, stderr=subprocess.PIPE, text=True, pass_fds=(fd,)
        )
    try:
        assert process.stderr is not None
        assert any("startup complete" in line for line in process.stderr)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def as_(customer: str) -> dict[str, str]:
    return {"x-key": f"key-of-{customer}"}


def finished(client: httpx2.Client, id: str, customer: str) -> dict[str, object]:
    while True:
        found = dict(client.get(f"/runs/{id}", headers=as_(customer)).json())
        if found["status"] in ("complete", "errored"):
            return found


def test_two_customers_paste_different_workflows_and_each_run_goes_to_its_own(tmp_path: Path) -> None:
    with platform(tmp_path) as client:
        runs = {}
        for customer, word in (("acme", "Hello"), ("globex", "Guten Tag")):
            assert client.put("/workflow", content=answers(word), headers=as_(customer)).json() == []
            runs[customer] = client.post("/runs", json={"name": "Ada"}, headers=as_(customer)).json()["id"]
        assert client.get(f"/runs/{runs['acme']}", headers=as_("globex")).status_code == 400
        assert client.get(f"/runs/{runs['acme']}").status_code == 401
        refused = client.put("/workflow", content="class TenantWorkflow(:", headers=as_("acme"))
        assert refused.status_code == 422 and refused.json()[0]["line"] == 1
    with platform(tmp_path) as client:  # days later, another process
        for customer, id in runs.items():
            assert client.post(f"/runs/{id}/events/go", json="now", headers=as_(customer)).status_code == 202
        assert [finished(client, id, customer)["output"] for customer, id in runs.items()] == [
            "Hello Ada, now",
            "Guten Tag Ada, now",
        ]


def test_what_a_customer_sends_wrong_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with platform(tmp_path) as client:
        client.put("/workflow", content=answers("Hello"), headers=as_("acme"))
        for ask, status, said in (
            (lambda: client.post("/runs", json={}), 401, "The header x-key has no customer's key."),
            (
                lambda: client.get("/runs/x", headers={"x-key": "guessed"}),
                401,
                "The header x-key has no customer's key.",
            ),
            (
                lambda: client.post("/runs", content="{", headers=as_("acme")),
                400,
                "The body is not JSON: Expecting property name",
            ),
            (
                lambda: client.post("/runs", content=b"\xff", headers=as_("acme")),
                400,
                "The body is not JSON: 'utf-8' codec can't decode",
            ),
            (lambda: client.get("/runs/nothing", headers=as_("acme")), 400, 'There is no instance "nothing".'),
            (lambda: client.get("/nowhere", headers=as_("acme")), 404, "Not Found"),
        ):
            answer = ask()
            assert answer.status_code == status and answer.json()["error"].startswith(said), answer.text
        assert client.put("/workflow", content=b"\xff", headers=as_("acme")).status_code == 422
        assert client.post("/runs", headers=as_("acme")).status_code == 201, "no params are none"


def plan(folder: Path, answer: str | None) -> str:
    """What the program of the generated plan prints, given an answer on the keyboard, or stopped at its question."""
    process = subprocess.Popen(
        [*PYTHON, "-m", PLAN, "standing desk"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        if answer is not None:
            return process.communicate(answer, timeout=DEADLINE)[0]
        printed = ""
        assert process.stdout is not None
        while "Approve?" not in printed:
            printed += process.stdout.read(1)
        process.kill()
    return printed


@pytest.mark.parametrize(
    ("answer", "output"),
    [("y\n", "{'ordered': 'standing desk by Birch', 'receipt': 'charge-1'}"), ("n\n", "{'ordered': None}")],
)
def test_a_generated_plan_waits_for_its_approval(tmp_path: Path, answer: str, output: str) -> None:
    printed = plan(tmp_path, answer)
    assert "I would take standing desk by Birch at 310" in printed
    assert printed.splitlines()[-1].removeprefix("Approve? [y/N] ") == output


def test_a_plan_stopped_at_the_question_goes_on_from_there(tmp_path: Path) -> None:
    assert "done: choose-1" in plan(tmp_path, None)
    printed = plan(tmp_path, "y\n")
    assert printed.count("done: choose-1") == 1
    assert printed.splitlines()[-1] == "{'ordered': 'standing desk by Birch', 'receipt': 'charge-1'}"


def test_what_the_readme_says_can_be_copied_and_pasted(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Embed it")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert [line.split()[:4] for line in blocks[0].splitlines()] == [
        ["./run", "python", "-m", name] for name in (PLAN, CUSTOMERS)
    ]
    paste_one, paste_other, start, look = blocks[1].splitlines()

    def shell(command: str) -> Any:
        command = command.replace(PORT, str(client.base_url.port))
        return json.loads(
            subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, check=True, timeout=DEADLINE).stdout
        )

    with platform(tmp_path) as client:
        for pasted in (paste_one, paste_other):
            assert not [it for it in shell(pasted) if it["severity"] == "error"]
        id = shell(start)["id"]
        assert finished(client, id, "acme")["status"] == "complete"
        assert shell(look.replace("ID", id))["output"]
