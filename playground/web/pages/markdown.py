"""What agents read: `/llms.txt`, and documents and examples as Markdown, beside their pages or in place of them.

A page that has such a twin is also answered with it to who accepts `text/markdown` before HTML.
"""

import json

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from playground import paths
from playground.examples import Example
from playground.web.context import Context
from playground.web.http.errors import NotFound
from playground.web.http.responses import NO_STORE_BY_ACCEPT

TYPE = "text/markdown"
# Of docs/, by name: what is said of each.
DOCUMENTS = {
    "steps": "the step API: what code can import, call and receive",
    "agents": "agents over MCP: tools, tasks, answers",
    "lint": "the rules of the check, each with what to do",
    "bindings": "what code finds in self.env",
    "testing": "tests of workflows, with every crash",
    "approvals": "what a run asks of people: schemas, forms, and links that answer one wait",
    "flow": "what holds a run back before it starts",
    "schedules": "runs by the clock",
    "tenants": "deploying workflows over HTTP, with a key",
    "dispatcher": "embedding the engine in a program",
    "events": "the events of a journal",
    "run-files": "a run as a file, and as a test",
}
_NO_DOCUMENT = "There is no document of this name; there are {names}."
_LLMS = """\
# Dynamic Workflows Playground

> Durable workflows in Python: each step's result is kept in a journal, so that a run outlives any worker or server,
> sleeps for months, waits for people, and goes on where it was. Anybody may run code here, in isolation.

Agents: connect to the MCP server at {address}/mcp (Streamable HTTP, no key needed). Its tools check, run, follow,
answer and fork workflows; read its resource playground://skill before you write one.

## Documents

{documents}

## Examples

{examples}

## HTTP

- [openapi.json]({address}/openapi.json): every call of the API
"""


async def llms(context: Context, request: Request) -> Response:
    """What this site is, for language models, and where to read on."""
    address = context.public_url.base_for(request) or ""
    documents = "\n".join(f"- [{name}]({address}/docs/{name}.md): {text}" for name, text in DOCUMENTS.items())
    found = "\n".join(f"- [{it.title}]({address}/examples/{it.slug}.md)" for it in context.examples.values())
    return _markdown(_LLMS.format(address=address, documents=documents, examples=found), "text/plain")


async def document(context: Context, request: Request) -> Response:
    """A document, as it is written."""
    name = request.path_params["name"]
    if name not in DOCUMENTS:
        raise NotFound(_NO_DOCUMENT.format(names=", ".join(DOCUMENTS)))
    return _markdown(document_text(name))


async def examples(context: Context, request: Request) -> Response:
    """The examples, each with its lesson, as Markdown."""
    listed = [f"## [{it.title}](/examples/{it.slug}.md)\n\n{it.lesson}\n" for it in context.examples.values()]
    return _markdown("\n".join(["# Examples\n", *listed]))


async def example(context: Context, request: Request) -> Response:
    """An example with its code, as Markdown."""
    return _markdown(example_text(context.example(request.path_params["slug"])))


def example_text(found: Example) -> str:
    """An example with its code, as Markdown."""
    params = json.dumps(found.params, ensure_ascii=False)
    return f"# {found.title}\n\n{found.lesson}\n\nParams: `{params}`\n\n```python\n{found.source}```\n"


def document_text(name: str) -> str:
    """A document of `DOCUMENTS`."""
    return paths.document(f"{name}.md").read_text("utf-8")


def _markdown(text: str, kind: str = TYPE) -> Response:
    return PlainTextResponse(text, headers=NO_STORE_BY_ACCEPT, media_type=kind)
