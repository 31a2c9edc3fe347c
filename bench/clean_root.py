"""The Dockerfile's steps in a root file system that holds nothing but Debian, without a container engine.

    ./run python bench/clean_root.py            (as root; it takes debootstrap and some minutes)

debootstrap makes the root from the mirror that this machine's apt uses; it takes the place of the image that the
Dockerfile begins from, with that Python. Then each COPY, RUN and ENV is carried out as the Dockerfile has it, in mount
and process namespaces of its own, and its CMD serves: what /healthz says, how one run ends, and how
long each part took, is printed. What the machine needs to reach its indexes (variables of pip, certificates) goes in.

It took 8 minutes on two cores with a load of 18: 4 for Debian, 2 for the wheels, 1 for their installation. So nothing
of it is a test, and a container engine does the same for a release (.github/workflows/release.yml). It finds what a
clone hides: a file that the wheel lacks, a library that the image lacks.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUITE = "trixie"  # its Python is that of the Dockerfile's image
PACKAGES = ("ca-certificates", "python3-pip", "python3-venv")
PASSED_ON = re.compile(r"(PIP_|SSL_|NODE_|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy|npm_config_)")
SOURCES = (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*")))
STAY = ("--mount=type=bind,from=built,source=/wheels,target=/wheels",)  # both stages share one root here
# A root of its own, not a chroot: in one, bubblewrap can make no namespaces.
ENTER = """
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
cd "$1"
mkdir -p .old
pivot_root . .old
exec chroot . /bin/sh -eu -c 'umount -l /.old; cd "$1"; exec /bin/sh -eu -c "$2"' sh "$2" "$3"
"""
TRY = """
import json, os, signal, subprocess, sys, time, urllib.request
server = subprocess.Popen(json.loads(sys.argv[1]))
def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request("http://127.0.0.1:8000" + path, data, headers)
    return json.load(urllib.request.urlopen(request, timeout=30))
for _ in range(300):
    try:
        health = ask("/healthz")
        break
    except OSError:
        assert server.poll() is None, "it has ended"
        time.sleep(0.2)
print("isolation:", health["isolation"]["letter"], health["isolation"]["sentence"], flush=True)
made = ask("/api/instances", {"example": "hello", "params": {"name": "Ada"}})
for _ in range(300):
    shown = ask("/api" + made["url"])
    if shown["status"] in ("complete", "errored"):
        break
    time.sleep(0.2)
print("a run:", shown["status"], json.dumps(shown["output"]), flush=True)
server.send_signal(signal.SIGTERM)
sys.exit(server.wait(60) or shown["status"] != "complete")
"""


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction of the Dockerfile."""

    word: str
    rest: str


def steps(text: str) -> Iterator[Step]:
    """The instructions of a Dockerfile, comments left out."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield Step(word, rest.strip())


def mirror() -> str:
    """The address that this machine's apt has its packages from."""
    for file in SOURCES:
        found = re.search(
            r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+)", file.read_text() if file.is_file() else "", re.MULTILINE
        )
        if found:
            return found[1]
    raise SystemExit("apt has no sources here; name a --mirror")


class CleanRoot:
    """A root file system in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        # Debian keeps its own Python to itself, where the image's is free.
        self.environment |= {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "PIP_BREAK_SYSTEM_PACKAGES": "1"}
        self.environment |= {"HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
        self.place = "/"

    def make(self, suite: str, address: str) -> None:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, self.folder, address]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.copy("/etc/resolv.conf", self.folder / "etc" / "resolv.conf")
        (self.folder / "usr/local/bin/pip").symlink_to("/usr/bin/pip3")
        for value in {value for value in self.environment.values() if value.startswith("/") and os.path.exists(value)}:
            inside = self.folder / value.lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            if os.path.isfile(value):
                shutil.copy(value, inside)
            elif not inside.exists():
                shutil.copytree(value, inside, symlinks=False, ignore_dangling_symlinks=True)

    def copy_source(self) -> None:
        """COPY of what is committed."""
        target = self.folder / "src"
        target.mkdir(exist_ok=True)
        archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", target], check=True, stdin=archive.stdout)

    def run(self, command: str) -> None:
        """Carry out a shell command in it. Raises CalledProcessError."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-eu", "-c", ENTER, "sh"]
        subprocess.run([*unshare, self.folder, self.place, command], check=True, env=self.environment)

    def follow(self, text: str) -> None:
        """Carry out a Dockerfile."""
        for step in steps(text):
            began = time.monotonic()
            if step.word == "COPY":
                self.copy_source()
            elif step.word == "RUN":
                command = step.rest
                for option in STAY:
                    command = command.replace(option, "")
                self.run(command)
            elif step.word == "ENV":
                self.environment |= dict(shlex.split(pair)[0].split("=", 1) for pair in step.rest.split())
            elif step.word in ("WORKDIR", "VOLUME"):
                (self.folder / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
                self.place = step.rest if step.word == "WORKDIR" else self.place
            elif step.word == "CMD":
                self.run(f"python3 -c {shlex.quote(TRY)} {shlex.quote(json.dumps(json.loads(step.rest)))}")
            elif step.word not in ("FROM", "EXPOSE"):
                raise SystemExit(f"{step.word} of the Dockerfile is not known here")
            print(f"{time.monotonic() - began:6.1f} s  {step.word} {step.rest[:90]}", flush=True)


def main() -> None:
    """Make the root, follow the Dockerfile, remove the root."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", default=SUITE)
    parser.add_argument("--mirror", default="", help="of Debian; that of this machine's apt")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise SystemExit("it takes root, and debootstrap (apt-get install debootstrap)")
    with tempfile.TemporaryDirectory(prefix="clean-root-") as folder:
        root, began = CleanRoot(Path(folder)), time.monotonic()
        root.make(options.suite, options.mirror or mirror())
        print(f"{time.monotonic() - began:6.1f} s  Debian {options.suite}", flush=True)
        root.follow((ROOT / "Dockerfile").read_text())


if __name__ == "__main__":
    sys.exit(main())
