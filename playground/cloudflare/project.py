"""A workflow as a folder that `wrangler deploy` takes: the code as it is, and the files around it.

`src/workflow.py` is the source, byte for byte. `src/entry.py` is the Worker that starts it and says how its runs stand,
unless the source has a `Default` of its own. What uses something that exists only here is listed in the README, with
what to do: nothing is rewritten, since that takes somebody who knows what the code is for.

`wrangler deploy --dry-run` checks the settings and gathers the modules. It does not run Python, so that it says nothing
of what the README lists.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

WORKFLOW_FILE = "src/workflow.py"
ENTRY_FILE = "src/entry.py"
PARAMS_FILE = "params.json"
CONFIG_FILE = "wrangler.jsonc"
BINDING = "WORKFLOW"
# From 2026-02-25 on, dependencies of steps are the names of their parameters, as here.
COMPATIBILITY_DATE = "2026-11-01"
COMPATIBILITY_FLAGS = ("python_workers", "python_workflows")
NAME_CHARACTERS = 54  # of a Worker's name, which becomes a part of its host's
UNNAMED = "workflow"
DIFFERS = "only-here-"  # how the codes of the rules begin that are listed

_ENTRY = '''"""Starts the workflow, says how a run stands, and sends it events.

POST /            starts a run; the body is its params, as JSON
GET  /ID          how the run stands
POST /ID/TYPE     sends it an event of this type; the body is its payload, as JSON

Whoever knows the address may do that: put Cloudflare Access before it, or check a secret here.
"""

import json
from urllib.parse import unquote, urlsplit

import workers

from workflow import {class_name}  # noqa: F401 - Cloudflare looks for the workflow's class here


class Default(workers.WorkerEntrypoint):
    async def fetch(self, request):
        id, _, event_type = unquote(urlsplit(request.url).path).strip("/").partition("/")
        try:
            if request.method == "POST":
                body = await request.text()
                value = json.loads(body) if body else {{}}
                if not id:
                    instance = await self.env.{binding}.create({{"params": value}})
                    return answer({{"id": instance.id}}, 201)
                instance = await self.env.{binding}.get(id)
                await instance.send_event({{"type": event_type, "payload": value}})
                return answer({{"id": id, "sent": event_type}}, 202)
            if not id:
                return answer({{"error": "POST / with params starts a run, GET /ID says how it stands"}}, 404)
            instance = await self.env.{binding}.get(id)
            return answer({{"id": id, **await instance.status()}})
        except ValueError as error:
            return answer({{"error": f"the body is not JSON: {{error}}"}}, 400)
        except Exception as error:
            return answer({{"error": str(error)}}, 404 if id else 500)


def answer(value, status=200):
    text = json.dumps(value, default=str)
    return workers.Response(text, status=status, headers={{"content-type": "application/json"}})
'''

_PYPROJECT = """[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.13"
dependencies = []

[dependency-groups]
dev = ["workers-py", "workers-runtime-sdk"]
"""

_README = """# {title}

A [Python Workflow](https://developers.cloudflare.com/workflows/python/) for Cloudflare. `{workflow}` is the code as it
ran in the playground{entry}.

## Deploy it

With [uv](https://docs.astral.sh/uv/) and Node.js, in this folder:

```sh
uv run pywrangler dev
uv run pywrangler deploy
```

`npx wrangler deploy --dry-run` checks the settings and which modules go along. It runs no Python.
{use}
## What differs there

{differs}
True of every workflow:

- Python runs in [Pyodide](https://developers.cloudflare.com/workers/languages/python/): most of the standard library,
  no threads and no processes.
- An attempt that is lost with its worker may count as a retry there. Here it does not.
- An error of a step is caught as `Exception`, with its message. Here it is of its own class, with its attributes.
- Steps that race may be decided another way after a restart. Here a replay goes the way of the first execution.

## Back to the playground

`playground import .` makes one file of it again. On the page, choose *New* and drop the folder or its zip.
"""

_USE = """
## Use it

```sh
curl -X POST https://ADDRESS/ -d @params.json
curl https://ADDRESS/ID
curl -X POST https://ADDRESS/ID/EVENT_TYPE -d '{"approved": true}'
```

Whoever knows the address may do this: put Cloudflare Access before it, or check a secret in `src/entry.py`.
"""
_SAME = "Nothing that the lint knows of: the code uses only what both have.\n"
_LISTED = """These lines use what exists only in the playground, or is another thing there.

| line | what to do | rule |
|---|---|---|
{rows}

"""


def worker_name(title: str) -> str:
    """A name of a Worker, made from a title."""
    words = re.findall("[a-z0-9]+", title.lower())
    return "-".join(words)[:NAME_CHARACTERS].strip("-") or UNNAMED


def differences(diagnostics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a check's diagnostics that say what exists only here."""
    return [found for found in diagnostics if found["code"].startswith(DIFFERS)]


def project_files(
    source: str,
    *,
    title: str,
    class_name: str,
    has_default: bool,
    diagnostics: Sequence[Mapping[str, Any]],
    params: str | None = None,
) -> dict[str, str]:
    """The files of the project, by their paths in it.

    Args:
        title: the workflow's, "" for one without.
        class_name: the workflow's class; `has_default`: the source has the Worker's class too.
        diagnostics: of a check that asked about Cloudflare.
        params: JSON text to start runs with.
    """
    name = worker_name(title)
    config = {
        "$schema": "node_modules/wrangler/config-schema.json",
        "name": name,
        "main": WORKFLOW_FILE if has_default else ENTRY_FILE,
        "compatibility_date": COMPATIBILITY_DATE,
        "compatibility_flags": list(COMPATIBILITY_FLAGS),
        "workflows": [{"name": name, "binding": BINDING, "class_name": class_name}],
        "observability": {"enabled": True},
    }
    readme = _README.format(
        title=_in_markdown(title or "Workflow"),
        workflow=WORKFLOW_FILE,
        entry="" if has_default else f", `{ENTRY_FILE}` the Worker that starts it",
        use="" if has_default else _USE,
        differs=_differences_table(differences(diagnostics)),
    )
    files = {
        "README.md": readme,
        CONFIG_FILE: json.dumps(config, indent=2) + "\n",
        "pyproject.toml": _PYPROJECT.format(name=name),
        PARAMS_FILE: (params or "{}").rstrip() + "\n",
        WORKFLOW_FILE: source,
    }
    if not has_default:
        files[ENTRY_FILE] = _ENTRY.format(class_name=class_name, binding=BINDING)
    return files


def as_zip(files: Mapping[str, str], folder: str) -> bytes:
    """The files in one folder of a zip; the same files give the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(f"{folder}/{path}")
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, text.encode("utf-8", "surrogatepass"))
    return made.getvalue()


def _differences_table(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return _SAME
    rows = [f"| {it['line']} | {_in_cell(it['message'])} | `{it['code']}` |" for it in found]
    return _LISTED.format(rows="\n".join(rows))


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", text)
