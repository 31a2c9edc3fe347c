"""Workflows as projects for Cloudflare: wrangler takes the folder, its Worker answers, the README says what differs."""

import io
import json
import sys
import tomllib
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aio import run
from http_support import HELLO, Site
from page_code_support import node
from terminal_support import run_process
from wrangler_support import dry_run

from playground import analysis
from playground.cloudflare.project import ENTRY_FILE, WORKFLOW_FILE, as_zip, project_files, worker_name
from playground.engine.code.project import Project, read_project
from playground.examples import load
from playground.worker.entrypoint import WorkerEntrypoint
from playground.worker.responses import Response

EXAMPLES = {it.slug: it.source for it in load()}


def files_of(slug: str, **more: Any) -> dict[str, str]:
    found = analysis.check(EXAMPLES[slug], cloudflare=True)
    given = {"title": slug, **found["project"], "diagnostics": found["diagnostics"], **more}
    return project_files(EXAMPLES[slug], **given)


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


# The folder.


@pytest.mark.long  # installs wrangler
def test_wrangler_takes_a_project_of_the_command_line(tmp_path: Path) -> None:
    project = tmp_path / "project"
    done = run_process(tmp_path, "export", "--example", "effects", "--to", str(project))
    (made,) = done.of("exported")
    assert (done.status, done.err) == (0, "")
    assert {(it["line"], it["code"]) for it in made["differences"]} == {
        (12, "only-here-binding"),
        (19, "only-here-binding"),
    }
    assert (project / WORKFLOW_FILE).read_text() == EXAMPLES["effects"]

    deployed = dry_run(project, tmp_path)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert "env.WORKFLOW (TenantWorkflow)" in deployed.stdout
    assert {file.name for file in (tmp_path / "bundle").iterdir()} >= {"entry.py", "workflow.py"}

    again = run_process(tmp_path, "export", "--example", "effects", "--to", str(project))
    assert (again.status, again.out) == (2, "") and "is not empty" in again.err


def test_wrangler_refuses_a_project_without_its_flag(tmp_path: Path) -> None:
    files = files_of("hello")
    files["wrangler.jsonc"] = files["wrangler.jsonc"].replace('"python_workers",', "")
    refused = dry_run(write(tmp_path / "project", files), tmp_path)
    assert refused.returncode != 0 and "python_workers" in refused.stdout + refused.stderr


def test_a_source_that_has_the_worker_too_gets_no_other() -> None:
    files = files_of("support-desk")
    assert ENTRY_FILE not in files and json.loads(files["wrangler.jsonc"])["main"] == WORKFLOW_FILE


@pytest.mark.parametrize("slug", EXAMPLES)
def test_every_example_is_a_project_whose_readme_lists_what_differs(slug: str) -> None:
    files = files_of(slug)
    assert files[WORKFLOW_FILE] == EXAMPLES[slug]
    tomllib.loads(files["pyproject.toml"])
    (workflow,) = json.loads(files["wrangler.jsonc"])["workflows"]
    assert f"class {workflow['class_name']}(" in files[WORKFLOW_FILE]
    if ENTRY_FILE in files:
        compile(files[ENTRY_FILE], ENTRY_FILE, "exec")
    listed = [line for line in files["README.md"].splitlines() if line.endswith("` |") and "only-here-" in line]
    found = analysis.check(EXAMPLES[slug], cloudflare=True)["diagnostics"]
    assert len(listed) == len(found)  # the examples have no other findings


def test_names_and_texts_of_others_stay_what_they_are_in_every_file() -> None:
    hostile = {"line": 3, "code": "only-here-value", "message": "Return\n`[a | b]`."}
    title = 'A "name" | with *marks*\\ and <b>a tag</b>'
    files = files_of("hello", title=title, diagnostics=[hostile], params='{"a": 1}')
    assert "| 3 | Return `[a \\| b]`. | `only-here-value` |" in files["README.md"]
    assert files["README.md"].startswith('# A "name" | with \\*marks\\*\\\\ and \\<b\\>a tag\\</b\\>\n')
    assert files["params.json"] == '{"a": 1}\n'
    for text, name in [
        ("Trip booking (saga)", "trip-booking-saga"),
        ("", "workflow"),
        ("数据", "workflow"),
        ("x" * 80, "x" * 54),
        ("a" * 53 + " b", "a" * 53),
    ]:
        assert worker_name(text) == name


@pytest.mark.parametrize(
    "name", ["", "_Mine", "A\n", 'A"', "A B", "Größe", "A" * 101, 3, None, ["A"], "A;import os"], ids=repr
)
def test_of_what_the_sandbox_says_a_name_is_plain_or_none(name: object) -> None:
    assert read_project({"class_name": name, "has_default": True}) is None
    assert read_project({"class_name": "Mine", "has_default": name}) == Project("Mine", has_default=False)


def test_a_zip_holds_the_files_in_one_folder_and_is_the_same_each_time() -> None:
    files = files_of("hello")
    made = as_zip(files, "hello")
    assert made == as_zip(files, "hello")
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            f"hello/{path}": text for path, text in files.items()
        }


# The Worker.


class Instance:
    def __init__(self, id: str) -> None:
        self.id, self.sent = id, []  # type: ignore[var-annotated]

    async def status(self) -> dict[str, Any]:
        return {"status": "waiting"}

    async def send_event(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


class Binding:
    """A workflow's binding, as Cloudflare's SDK wraps it: `create` takes one dict, `get` raises for an unknown id."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Instance, Any]] = {}

    async def create(self, options: dict[str, Any]) -> Instance:
        instance = Instance(f"id-{len(self.made)}")
        self.made[instance.id] = (instance, options)
        return instance

    async def get(self, id: str) -> Instance:
        if id not in self.made:
            raise RuntimeError("instance.not_found")
        return self.made[id][0]


class Request:
    def __init__(self, method: str, path: str, body: str = "") -> None:
        self.method, self.url, self._body = method, f"https://it.example{path}", body

    async def text(self) -> str:
        return self._body


def test_the_worker_starts_runs_says_how_they_stand_and_sends_them_events(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, workflow = types.ModuleType("workers"), types.ModuleType("workflow")
    workers.WorkerEntrypoint, workers.Response = WorkerEntrypoint, Response  # type: ignore[attr-defined]
    workflow.TenantWorkflow = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "workers", workers)
    monkeypatch.setitem(sys.modules, "workflow", workflow)
    names: dict[str, Any] = {}
    exec(files_of("approval")[ENTRY_FILE], names)  # noqa: S102 - our own code
    binding = Binding()
    worker = names["Default"](None, types.SimpleNamespace(WORKFLOW=binding))

    def asked(*request: str) -> tuple[int, Any]:
        async def ask() -> tuple[int, Any]:
            response = await worker.fetch(Request(*request))
            return response.status, json.loads(await response.text())

        return run(ask())

    assert asked("POST", "/", '{"amount": 7}') == (201, {"id": "id-0"})
    assert asked("POST", "/", "") == (201, {"id": "id-1"})
    assert [options for _, options in binding.made.values()] == [{"params": {"amount": 7}}, {"params": {}}]
    assert asked("GET", "/id-0?x=1") == (200, {"id": "id-0", "status": "waiting"})
    assert asked("POST", "/id-0/approved", '{"by": "ada"}') == (202, {"id": "id-0", "sent": "approved"})
    assert binding.made["id-0"][0].sent == [{"type": "approved", "payload": {"by": "ada"}}]
    assert asked("GET", "/gone") == (404, {"error": "instance.not_found"})
    assert asked("POST", "/", "{")[0] == 400
    assert asked("GET", "/")[0] == 404


# Over HTTP.


def unpacked(response: Any) -> dict[str, str]:
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip"), response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def test_the_server_gives_the_zip_of_a_source_a_snippet_and_an_example(site: Site) -> None:
    named = '"""Greets people."""\n\n' + HELLO
    sent = site.client.post("/api/export.zip", json={"source": named, "params": {"name": "Ada"}})
    assert sent.headers["content-disposition"] == 'attachment; filename="greets-people.zip"'
    files = unpacked(sent)
    assert files[WORKFLOW_FILE] == named and json.loads(files["params.json"]) == {"name": "Ada"}
    untitled = site.client.post("/api/export.zip", json={"source": HELLO, "title": "Greets   people"})
    assert untitled.headers["content-disposition"] == sent.headers["content-disposition"]
    snippet = site.client.post("/api/snippets", json={"source": named, "params": {"name": "Ada"}}).json()["id"]
    assert unpacked(site.client.get(f"/api/snippets/{snippet}/export.zip")) == files
    assert unpacked(site.client.get("/api/examples/hello/export.zip"))[WORKFLOW_FILE] == EXAMPLES["hello"]
    for path, status in [("/api/snippets/gone/export.zip", 404), ("/api/examples/gone/export.zip", 404)]:
        assert site.client.get(path).status_code == status


def test_what_can_not_be_taken_there_is_refused_with_what_to_do(site: Site) -> None:
    for source, said in [("def f(:", "Line 1, column 7"), (HELLO.replace("TenantWorkflow", "Größe"), "ASCII letters")]:
        refused = site.client.post("/api/export.zip", json={"source": source})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "source.refused")
        assert said in refused.json()["error"]["message"]


def test_a_check_says_what_exists_only_here_where_it_is_asked(site: Site) -> None:
    def codes(**more: Any) -> set[str]:
        found = site.client.post("/api/check", json={"source": EXAMPLES["effects"], **more}).json()["diagnostics"]
        return {it["code"] for it in found}

    assert (codes(), codes(cloudflare=True), codes()) == (set(), {"only-here-binding"}, set())


# On the page.


def test_the_page_joins_what_is_said_of_several_lines() -> None:
    given = [{"code": code, "line": line, "message": message} for code, line, message in [
        ("only-here-binding", 9, "a"), ("only-here-step", 4, "b"), ("catches-all", 1, "c"),
        ("only-here-binding", 3, "a"), ("only-here-binding", 3, "a"),
    ]]  # fmt: skip
    found = node(
        'import { differences, linesText } from "RUN/../take-out.js";\n'
        "return differences(given).map(({ lines, message }) => [linesText(lines), message]);",
        given,
    )
    assert found == [["Lines 3 and 9", "a"], ["Line 4", "b"]]
