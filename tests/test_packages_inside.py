"""Packages inside the sandbox: what code does with numpy and pydantic over HTTP, and which modules are preloaded."""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_support import Site, running_sandbox
from packages_support import installed_packages
from sandbox_support import ENTRY, INSIDE, MEMORY, Held, Log

from playground.packages.installation import MANIFEST, Package, PackageSet
from playground.sandbox.pool import LaunchOptions, Sandbox, SandboxRefused
from playground.sandbox.tiers import NAMESPACES, USER
from playground.terminal import doctor

ORDERS = """\
import numpy as np
from pydantic import BaseModel
from workers import WorkflowEntrypoint


class Order(BaseModel):
    item: str
    prices: list[float]


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("load")
        async def load():
            return Order.model_validate(event["payload"]).model_dump()

        order = Order.model_validate(await load())
        return {"item": order.item, "mean": float(np.mean(order.prices))}
"""
IMPORTS = """\
from workers import WorkflowEntrypoint
import numpi
import requests


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return np.zeros(3).tolist(), numpi, requests
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_sandbox(packages=installed_packages()) as (background, sandbox):
        site = Site(background, sandbox, tmp_path_factory.mktemp("site"))
        yield site
        site.close()


def test_a_workflow_uses_pydantic_and_numpy_and_its_errors_are_pydantic_s(site: Site) -> None:
    params = {"item": "book", "prices": [1, 2.5]}
    shown = site.finish(site.create(ORDERS, params=params))
    assert (shown["status"], shown["output"]) == ("complete", {"item": "book", "mean": 1.75})
    once = ORDERS.replace('@step.do("load")', '@step.do("load", config={"retries": {"limit": 0, "delay": 1}})')
    failed = site.finish(site.create(once, params={"item": "book", "prices": "none"}))
    assert failed["status"] == "errored" and failed["error"]["name"] == "ValidationError"
    assert "prices" in failed["error"]["message"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("Order(item='a', prices=[])", 'Store its model_dump(mode="json")'),
        ("{'mean': np.zeros(3)}", "Store its tolist()"),
        ("[np.int64(3)]", "Store its item()"),
    ],
)
def test_what_can_t_be_stored_is_refused_with_what_to_store(site: Site, given: str, says: str) -> None:
    source = ORDERS.replace('Order.model_validate(event["payload"]).model_dump()', given)
    failed = site.finish(site.create(source))
    assert (failed["status"], failed["error"]["name"]) == ("errored", "NotSerialisableError")
    assert says in json.dumps(failed["error"]["message"]).replace("\\", ""), failed["error"]


def test_the_lint_and_the_run_say_which_packages_there_are(site: Site) -> None:
    checked = site.client.post("/api/check", json={"source": IMPORTS}).json()["diagnostics"]
    found = {it["line"]: it for it in checked}
    there = "`annotated_types`, `numpy`, `pydantic`, `pydantic_core`, `typing_extensions`, `typing_inspection`"
    assert (
        f"{there}; `numpi` is not among them" in found[2]["message"] and "Did you mean `numpy`?" in found[2]["message"]
    )
    assert f"{there}; `requests` is not among them" in found[3]["message"]
    assert found[8]["fix"]["text"] == "import numpy as np\n"
    assert site.client.post("/api/check", json={"source": ORDERS}).json()["diagnostics"] == []
    for draw, codes in {
        "np.random.rand()": ["random-outside-step"],
        "np.random.default_rng().random()": ["random-outside-step"],
        "np.random.default_rng(7).random()": [],
        "(np.random.seed(7), np.random.rand())[1]": [],
    }.items():
        drawn = ORDERS.replace("np.mean(order.prices)", draw)
        found = site.client.post("/api/check", json={"source": drawn}).json()["diagnostics"]
        assert [it["code"] for it in found] == codes, draw
    failed = site.finish(site.create(IMPORTS.replace("import numpi\n", "").replace("numpi", "1")))
    assert f"{there}; `requests` is not among them" in failed["error"]["notes"][0]
    inner = site.finish(site.create("import numpy.nowhere\n" + ORDERS))
    assert inner["error"]["message"] == "No module named 'numpy.nowhere'" and not inner["error"].get("notes")


def test_about_shows_names_and_versions(site: Site) -> None:
    packages = site.client.get("/about", headers={"Accept": "application/json"}).json()["packages"]
    found = {package["name"]: package for package in packages}
    assert len(found) == 6 and found["numpy"]["modules"] == ["numpy"]
    assert "BaseModel" in found["pydantic"]["names"]["pydantic"] and "ndarray" in found["numpy"]["names"]["numpy"]
    page = site.client.get("/about", headers={"Accept": "text/html"}).text
    for package in packages:
        assert f"<td>{package['version']}</td>" in page and package["name"] in page


def test_each_worker_draws_its_own_numbers_and_has_as_much_room_as_without_packages(site: Site) -> None:
    source = ORDERS.replace(
        '"mean": float(np.mean(order.prices))', '"mean": [np.random.rand(), len(bytearray(100 << 20))]'
    )
    outputs = [site.finish(site.create(source, params={"item": "a", "prices": []}))["output"]["mean"] for _ in range(2)]
    assert outputs[0][0] != outputs[1][0], "the fork server's state of numpy.random is not shared"
    assert outputs[0][1] == outputs[1][1] == 100 << 20


# Packages of our own, written as they would be installed.

MODULES = {
    "plain": "VALUE = 1\n__all__ = ['VALUE', 'late']\ndef __getattr__(name):\n    import plain_late\n",
    "plain_late": "",
    "threads": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    "files": "import os\nheld = open(os.__file__)\n",
    "forks": "import os\nos.register_at_fork(after_in_child=print)\n",
    "broken": "import nowhere\n",
    "ends": "import os\nos._exit(0)\n",
    "signals": "raise SystemExit(3)\n",
}


def written(folder: Path) -> PackageSet:
    folder.chmod(0o755)  # workers of a server of root are other users
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    package = Package("ours", "1.0", tuple(sorted(MODULES)))
    rows = [{"name": package.name, "version": package.version, "modules": package.modules}]
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "packages": rows}))
    return PackageSet(str(folder), (package,))


@contextmanager
def opened(packages: PackageSet, *, without: Sequence[str] = (), preload: bool = True) -> Iterator[Held]:
    log = Log()
    options = LaunchOptions(entry=ENTRY, path=str(INSIDE), without=frozenset(without))
    with asyncio.Runner() as runner:
        opening = Sandbox.open(
            memory_bytes=MEMORY, cpu_seconds=10, parked=1, packages=packages, preload=preload, log=log, options=options
        )
        sandbox = runner.run(opening)
        try:
            yield Held(runner, sandbox, log)
        finally:
            runner.run(sandbox.close())


def test_only_what_is_safe_to_fork_is_preloaded_and_the_log_says_why_the_rest_is_not(tmp_path: Path) -> None:
    with opened(written(tmp_path)) as held:
        assert held.sandbox.module_names == {"plain": ["VALUE", "late"], "plain_late": []}
        assert held.sandbox.not_preloaded == {
            "broken": "ModuleNotFoundError: No module named 'nowhere'",
            "ends": "its import ends the process",
            "files": "it opens files",
            "forks": "it has to know of forks",
            "signals": "SystemExit: 3",
            "threads": "it starts threads",
        }
        logged = {fields["module"] for event, fields in held.log if event == "sandbox.package_not_preloaded"}
        assert logged == held.sandbox.not_preloaded.keys()
        loaded = "import sys; r = [name for name in ('plain', 'plain_late', 'threads', 'files') if name in sys.modules]"
        assert held.run(loaded)[0] == "['plain', 'plain_late']"
        place = "import plain, os; r = (plain.__file__, os.environ['OPENBLAS_NUM_THREADS'])"
        assert held.run(place)[0] == "('/packages/plain.py', '1')"
        refused = "\ntry:\n    open('/packages/plain.py', 'a')\nexcept OSError as e:\n    r = type(e).__name__"
        assert held.run("import files" + refused)[0] in ("'PermissionError'", "'OSError'")
        assert "can't start new thread" in held.run("import threads")[0]


def test_nothing_is_preloaded_where_the_operator_says_so_and_without_namespaces_packages_are_found_too(
    tmp_path: Path,
) -> None:
    packages = written(tmp_path)
    with opened(packages, preload=False) as held:
        assert (held.sandbox.module_names, held.sandbox.not_preloaded) == ({}, {})
        assert held.run("import sys; a = 'plain' in sys.modules; import plain; r = (a, plain.VALUE)")[0] == "(False, 1)"
    # Workers that change to users of their own could not enter this test's folder, nor Python's own where it is root's.
    with opened(packages, without=(NAMESPACES, USER)) as held:
        assert held.run("import plain; r = plain.__file__")[0] == repr(f"{tmp_path}/plain.py")
        refused = "\ntry:\n    open(plain.__file__, 'a')\nexcept OSError as e:\n    r = type(e).__name__"
        assert held.run("import plain" + refused)[0] == "'PermissionError'"


def test_the_doctor_tries_each_import_in_a_locked_worker(site: Site, tmp_path: Path) -> None:
    found = site.call(doctor.packages(site.context.engine.sandbox))
    assert found.state == doctor.GOOD and "numpy 2." in found.text and "can't" not in found.text
    with asyncio.Runner() as runner:
        opening = Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=1, packages=written(tmp_path), log=Log())
        sandbox = runner.run(opening)
        try:
            worse = runner.run(doctor.packages(sandbox))
        finally:
            runner.run(sandbox.close())
    assert worse.state == doctor.LOOK and "worker_memory_bytes" in worse.advice
    assert "`threads`: RuntimeError: can't start new thread" in worse.text
    assert "`ends`: its import ends the worker" in worse.text and "`plain`" not in worse.text


def test_packages_that_are_not_where_they_should_be_keep_the_server_from_starting(tmp_path: Path) -> None:
    packages = written(tmp_path)
    (tmp_path / "plain.py").unlink()
    with pytest.raises(SandboxRefused, match="the package `plain` is not at /packages"), opened(packages):
        pass
    gone = PackageSet(str(tmp_path / "gone"), packages.packages)
    with pytest.raises(SandboxRefused), opened(gone):
        pass
    packages = written(tmp_path)
    tmp_path.chmod(0o700)
    if os.geteuid() == 0:
        with pytest.raises(SandboxRefused, match="Workers can't read the operator's packages"):
            opening = Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=1, packages=packages, log=Log())
            asyncio.run(opening)
