"""Runs as text, for elsewhere: the command and the script start the very code on a real server, and an agent is told
what it needs to mend it.
"""

import json
import os
import subprocess
import sys
from typing import Any

from http_support import HELLO, Site
from page_code_support import node
from tenants_support import Tenant

# What a shell, a here-document, a literal of Python or a fence could stumble on.
HOSTILE = HELLO + "\n# it's $HOME `id` %s \\u00e9 ''' \U0001f4a9\nJSON = r'''\nJSON\n```\n'''\n# \\\n"
PARAMS = '{\n  "name": "Ada\'s\\\\",\n  "big": 12345678901234567890\n}'


def written(how: str, **what: Any) -> str:
    given = {"origin": "http://x", "name": "It's", "source": HELLO, "params": None, "run": None, "events": []} | what
    script = f"""
    import {{ {how} }} from "RUN/../copies.js";
    import {{ traceText }} from "RUN/errors.js";
    return {how}({{ ...given, traceText }});
    """
    return str(node(script, given))


def started(site: Site, path: str) -> tuple[str, Any]:
    """The code of a run and its params, as the server has them."""
    run = site.client.get(f"/api{path}").json()
    source = site.client.get(f"/api/snippets/{run['snippet']}").json()["source"]
    params = run["params"]
    if params:  # a whole number that a script of a page could not hold is wrapped
        assert params["big"] == {"$int": "12345678901234567890"}
        params = params | {"big": 12345678901234567890}
    return source, params


def test_the_command_starts_this_code_with_these_params(site: Site) -> None:
    for source, params in ((HELLO, None), (HOSTILE, PARAMS)):
        command = written("asCurl", origin=f"http://127.0.0.1:{site.port}", source=source, params=params)
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60)
        made = json.loads(done.stdout)
        assert started(site, made["url"]) == (source, json.loads(params) if params else None)


def test_the_script_starts_it_and_waits_for_its_end(site: Site) -> None:
    for source, params in ((HELLO, None), (HOSTILE, PARAMS)):
        script = written("asPython", origin=f"http://127.0.0.1:{site.port}", source=source, params=params)
        done = subprocess.run(
            [sys.executable, "-"], input=script, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        address, end = done.stdout.split("\n", 1)
        name = "Ada's\\" if params else "world"
        assert end.startswith("complete ")
        assert json.loads(end.removeprefix("complete ")) == {"greeting": f"Hello, {name}!"}
        path = address.removeprefix(f"http://127.0.0.1:{site.port}")
        assert started(site, path) == (source, json.loads(params) if params else None)
    assert "SOURCE = r'''" in written("asPython")  # code that can stand as it is, does


def test_of_a_tenant_both_start_its_version_with_the_key_of_the_environment(site: Site) -> None:
    acme = Tenant(site, "acme-copies")
    version = acme.deploy(HELLO)["version"]
    origin, tenant = f"http://127.0.0.1:{site.port}", {"name": acme.name, "version": version}
    environment = {**os.environ, "PLAYGROUND_KEY": acme.key}
    texts = [written(how, origin=origin, params=PARAMS, tenant=tenant) for how in ("asCurl", "asPython")]
    made, script = (
        subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60, env=environment)
        for command, given in ((["sh", "-c", texts[0]], None), ([sys.executable, "-"], texts[1]))
    )
    found = acme.finish(json.loads(made.stdout)["id"])
    assert (found["snippet"], found["output"]) == (version, {"greeting": "Hello, Ada's\\!"})
    assert script.stdout.split("\n", 1)[1].startswith("complete "), script.stderr
    assert not any(acme.key in text for text in texts)


def test_an_agent_is_told_the_error_the_code_and_the_end_of_the_journal(site: Site) -> None:
    source = HELLO.replace('return {"greeting": await greet()}', 'return await greet() + {"fence": "```"}')
    made = site.create(source)
    run = site.finish(made)
    events = site.client.get(f"/api{made['url']}/events?after=0&limit=1000").json()["events"]
    text = written(
        "forAgent",
        source=source,
        params='{"n": 1.50}',
        run=run | {"url": made["url"], "last_seq": len(events)},
        events=events,
    )
    head, *parts = text.split("\n## ")
    assert head.startswith("# It's: errored\n")
    error, code, params, journal = parts
    assert "TypeError: " in error and "(line 11 of the code)" in error and "Traceback" in error
    assert f"````python\n{source.rstrip()}\n````" in code
    assert '{"n": 1.50}' in params
    lines = journal.split("\n\n")[1].splitlines()[1:-1]
    assert len(lines) == len(events)
    assert any(line.startswith("5 execution 1 ") for line in lines)
    assert "step_completed" in journal and '"greet"' in journal
    assert text.endswith(f"The run: http://x{made['url']}\n")

    many = [{**events[0], "seq": seq, "data": {"long": "x" * 1_000}} for seq in range(1, 101)]
    text = written("forAgent", source=source, run=run | {"last_seq": 100, "url": made["url"]}, events=many)
    assert "## Journal, the last 40 of 100 events" in text
    assert "\n61 " in text and "\n60 " not in text
    assert len(text) < 20_000
    assert "Journal" not in written("forAgent")
