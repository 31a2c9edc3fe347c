"""Projects for Cloudflare, read: the workflow that their settings name, and hostile ones, alike by the command line and
by the page.
"""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from http_support import HELLO
from page_code_support import node_function
from terminal_support import Commands, terminal_environment

from playground.cloudflare import reading
from playground.cloudflare.project import as_zip, project_files
from playground.cloudflare.reading import BadProject, FoundWorkflow, find_workflow, read_folder, read_zip

CONFIG = '{"name": "it", "main": "src/entry.py", "workflows": [{"name": "it", "binding": "W", "class_name": "Mine"}]}'
MINE = "class Mine(WorkflowEntrypoint):\n    pass\n"

Files = Mapping[str, str | bytes]

COMMENTED = '// the "name"\n{"name": "a//b, ]", /* { */ "workflows": [{"class_name": "Mine",},],}\n'
TOML = """name = "it" # x
main = 'b.py'
[[workflows]]
binding = "W"
class_name = "Mine"
[vars]
class_name = "No"
"""
OTHERS = '{"workflows": [{"class_name": "A", "script_name": "x"}, {"class_name": "Mine"}]}'
SEVERAL = '{"workflows": [{"class_name": "A"}, {"class_name": "B"}]}'
NONE = '{"workflows": [null, 3, {"class_name": 7}]}'
MEGABYTE = 1024 * 1024

# What is in a project, and a part of what is said of it; or the path of its workflow, after "=".
PROJECTS: dict[str, tuple[Files, str]] = {
    "in its main file": ({"wrangler.json": CONFIG, "src/entry.py": MINE, "src/b.py": MINE}, "=src/entry.py"),
    "beside its main file": ({"wrangler.json": CONFIG, "src/entry.py": "x = 1", "src/b.py": MINE}, "=src/b.py"),
    "in a folder": ({"a/wrangler.json": CONFIG, "a/src/b.py": MINE, "a/params.json": "{}"}, "=a/src/b.py"),
    "comments and commas": ({"wrangler.jsonc": COMMENTED, "b.py": MINE}, "=b.py"),
    "TOML": ({"wrangler.toml": TOML, "b.py": MINE}, "=b.py"),
    "the nearest": ({"wrangler.json": CONFIG, "b.py": MINE, "sub/wrangler.json": "{", "sub/b.py": ""}, "=b.py"),
    "another Worker's workflow beside its own": ({"wrangler.json": OTHERS, "b.py": MINE}, "=b.py"),
    "what is installed": (
        {"wrangler.json": CONFIG, "node_modules/b.py": MINE, ".venv/c.py": MINE},
        "No file of it has",
    ),
    "no settings": ({"b.py": MINE}, "There is no wrangler.jsonc"),
    "settings that are none": ({"wrangler.json": '{"a" 1}', "b.py": MINE}, "wrangler.json can't be read"),
    "settings that are a list": ({"wrangler.json": "[]", "b.py": MINE}, "holds no settings"),
    "settings without an end": ({"wrangler.json": '{"a": /*' + "/*" * 20_000, "b.py": MINE}, "can't be read"),
    "settings in each other": ({"wrangler.json": "[" * 100_000, "b.py": MINE}, "can't be read"),
    "no workflow": ({"wrangler.json": NONE}, "names no workflow"),
    "a name that is none": ({"wrangler.json": '{"workflows": [{"class_name": "(a+)+$"}]}'}, "names no workflow"),
    "several workflows": ({"wrangler.json": SEVERAL}, "It has the workflows A and B."),
    "several projects": ({"a/wrangler.json": CONFIG, "b/wrangler.json": CONFIG}, "It holds several projects: a/wrangl"),
    "JavaScript": ({"wrangler.json": CONFIG.replace("entry.py", "index.ts")}, "Its code is src/index.ts"),
    "another encoding": ({"wrangler.json": CONFIG, "b.py": MINE.encode() + b"# \xff"}, "b.py is not UTF-8 text"),
    "settings of another encoding": ({"wrangler.json": CONFIG.encode("utf-16")}, "wrangler.json is not UTF-8 text"),
    "too large a file": ({"b.py": "#" * (MEGABYTE + 1)}, "b.py of it.zip has more than 1,048,576 bytes"),
    "too many files": ({f"{number}.txt": "" for number in range(2_001)}, "more than 2,000 files"),
    "too much of all": ({f"{number}.py": "#" * 1_000_000 for number in range(9)}, "has more than 8,388,608 bytes"),
}


def zipped(files: Files) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made.getvalue()


def renamed(path: str) -> bytes:
    """A zip whose entry has a name that the library would not write."""
    return zipped({"x" * len(path): MINE}).replace(b"x" * len(path), path.encode())


def twice() -> bytes:
    return zipped({"a.py": MINE, "b.py": MINE}).replace(b"b.py", b"a.py")


GOOD = zipped({"wrangler.json": CONFIG, "b.py": MINE})
ZIPS: dict[str, tuple[bytes, str]] = {
    **{name: (zipped(files), said) for name, (files, said) in PROJECTS.items()},
    "a way out": (renamed("../b.py"), "names a place outside of it: '../b.py'"),
    "an absolute place": (renamed("/etc/b.py"), "names a place outside of it"),
    "a place of Windows": (renamed("..\\b.py"), "names a place outside of it"),
    "a name twice": (twice(), "holds a.py twice"),
    "no zip": (b"class Mine:" * 10, "is no zip that can be read"),
    "nothing": (b"", "is no zip that can be read"),
    "cut off": (GOOD[: len(GOOD) // 2], "is no zip that can be read"),
    "damaged": (GOOD.replace(zipped({"b.py": MINE})[34:50], b"\0" * 16), "is no zip that can be read"),
    "encrypted": (GOOD.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"), "is encrypted"),
    "a list that is cut off": (GOOD[:20] + GOOD[-22:], "is no zip that can be read"),
}


def judged(read: Callable[[], Mapping[str, bytes]]) -> str:
    try:
        return "=" + find_workflow(read()).path
    except BadProject as error:
        return str(error)


@pytest.fixture(scope="module")
def page() -> Iterator[Callable[[Any], Any]]:
    script = """
        import { findWorkflow, readZip } from "RUN/../project.js";
        try {
          const found = findWorkflow(await readZip(new Blob([Buffer.from(given, "base64")]), "it.zip"));
          return ["=" + found.path, found.source, found.className, found.name, found.params, found.notes];
        } catch (error) {
          return [error.constructor.name === "BadProject" ? error.message : `fault: ${error}`];
        }
    """
    with node_function(script) as ask:
        yield ask


@pytest.mark.parametrize(("data", "said"), ZIPS.values(), ids=ZIPS.keys())
def test_a_zip_is_read_or_refused_alike_by_both(data: bytes, said: str, page: Callable[[Any], Any]) -> None:
    here, there = judged(lambda: read_zip(data, "it.zip")), page(base64.b64encode(data).decode())[0]
    for found in (here, there):
        assert found == said if said.startswith("=") else said in found, found


@pytest.mark.parametrize("name", [it for it in PROJECTS if not it.startswith("too")])
def test_a_folder_is_read_or_refused_as_its_zip(name: str, tmp_path: Path) -> None:
    files, said = PROJECTS[name]
    project = tmp_path / "it.zip"
    for path, text in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    (project / "loop").symlink_to(tmp_path)
    (project / "secret.py").symlink_to(tmp_path / "secret.py")
    (tmp_path / "secret.py").write_text(MINE)
    found = judged(lambda: read_folder(project))
    assert found == said if said.startswith("=") else said in found.replace(str(project), "it.zip")


def test_a_bomb_is_unpacked_no_further_than_a_file_may_go(monkeypatch: pytest.MonkeyPatch, page: Any) -> None:
    read = []
    unpack = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(n) or unpack(self, n))
    bomb = zipped({"wrangler.json": CONFIG, "b.py": b"#" * 50_000_000})
    assert len(bomb) < 60_000
    assert "b.py of it.zip has more than" in judged(lambda: read_zip(bomb, "it.zip"))
    assert max(read) == reading.FILE_BYTES + 1
    assert "b.py of it.zip has more than" in page(base64.b64encode(bomb).decode())[0]
    with pytest.raises(BadProject, match="the most is 16,777,216"):
        read_zip(b"\0" * (reading.ZIP_BYTES + 1), "it.zip")


def test_what_is_exported_comes_back_as_it_was(page: Callable[[Any], Any]) -> None:
    source = HELLO + "\n# ä, 数, \U0001d4b3\n"
    files = project_files(
        source, title="It", class_name="TenantWorkflow", has_default=False, diagnostics=[], params='{"a": 1e400}'
    )
    data = as_zip(files, "it")
    assert find_workflow(read_zip(data, "it.zip")) == FoundWorkflow(
        source, "TenantWorkflow", "it/src/workflow.py", "it", '{"a": 1e400}', ()
    )
    found = page(base64.b64encode(data).decode())
    assert found == ["=it/src/workflow.py", source, "TenantWorkflow", "it", '{"a": 1e400}', []]


def test_what_does_not_come_along_is_said_by_both(page: Callable[[Any], Any]) -> None:
    source = "import json\nimport prices\nfrom helpers.text import slug\nfrom .near import x\n" + MINE
    others = {f"src/{name}.py": "" for name in ("prices", "near", "unused")} | {"src/helpers/text.py": ""}
    data = zipped({"wrangler.json": CONFIG, "src/b.py": source, **others})
    notes = find_workflow(read_zip(data, "it.zip")).notes
    assert [note.split()[2].strip(",") for note in notes] == ["prices", "helpers", "near"]
    assert page(base64.b64encode(data).decode())[5] == list(notes)


def test_the_command_writes_one_file_and_none_over_another(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    run = Commands(capsys, terminal_environment(tmp_path))
    monkeypatch.chdir(tmp_path)
    several = '{"name": "Two flows", "workflows": [{"class_name": "Mine"}, {"class_name": "Other"}]}'
    Path("it.zip").write_bytes(zipped({"wrangler.json": several, "b.py": MINE}))
    refused = run("import", "it.zip")
    assert refused.status == 2 and "Name one of them: --class-name NAME" in refused.err
    (made,) = run("import", "it.zip", "--class-name", "Mine").of("imported")
    assert (made["to"], made["from"], made["class_name"]) == ("two_flows.py", "b.py", "Mine")
    assert Path("two_flows.py").read_text() == MINE
    again = run("import", "it.zip", "--class-name", "Mine")
    assert again.status == 2 and "two_flows.py is there already" in again.err
    other = run("import", "it.zip", "--class-name", "Gone")
    assert other.status == 2 and "no workflow 'Gone', but Mine and Other" in other.err
    assert run("import", "gone.zip").status == 2
    assert json.dumps(sorted(it.name for it in tmp_path.iterdir() if it.is_file())) == '["it.zip", "two_flows.py"]'
