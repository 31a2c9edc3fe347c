"""What all tests share: the order of the run, and the browser's fixtures (Playwright is imported only where they are
used).
"""

import compileall
import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import database_support
import pytest
import quick_support
from dispatch_support import Place
from http_support import Background, MakeSite, Site, running_sandbox, sites
from hypothesis import HealthCheck, settings
from server_support import Server
from store_support import POSTGRES, SQLITE, sqlite_url

from playground.sandbox.pool import Sandbox
from playground.testing import WorkflowTester
from playground.testing.sandbox import TIER, LocalSandbox
from playground.testing.server import ALONE, ASKED_ELSEWHERE

if TYPE_CHECKING:
    from browser_support import Watched
    from page_support import Playground
    from playwright.sync_api import Browser

# The same examples in every run, and no judgement of how fast a shared machine is.
settings.register_profile(
    "steady",
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "100")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("steady")

# Files of tests of the engine that run on SQLite and, with what matters most there, on PostgreSQL. Those of the store
# use the fixture `store_url`, and test_semantics_* has a round of its own.
ON_BOTH_DATABASES = frozenset(
    f"test_{name}"
    for name in (
        *("bindings_ai", "bindings_children", "bindings_effects", "bindings_kv", "bindings_mcp", "bindings_workflows"),
        *(
            "chaos_runs",
            "code_change",
            "fetch_http",
            "flow_runs",
            "fork",
            "gate",
            "nodes",
            "nodes_limits",
            "operations",
            "tenants_http",
        ),
        *("fetch_http", "queues", "services_http", "step_bytes", "stream", "stream_values"),
        *("property_nodes", "property_operations", "schedules"),
    )
)
# What PostgreSQL's round leaves out: programs that open a SQLite file by themselves, and code that waits for each
# commit, which the other half of the same test does not.
LEFT_OUT_ON_POSTGRES = (
    *("_killed_server_is_in_its_journal", "_killed_worker_or_fork_server", "each-step-acknowledged"),
    # What is lost at any commit: SQLite has each way at each moment, PostgreSQL each way and each moment once.
    *("[postgres-replaced-after]", "[postgres-thawed-before]", "_of_a_saga_changes_nothing[postgres-replaced]"),
    # What is refused before a store is asked, or decided by what is said to a worker, a model or a reader.
    *("_misuse_is_an_error_", "_has_a_class_and_words", "_cannot_be_used_is_refused_", "_cannot_be_set_is_refused_"),
    *("_whole_and_in_pieces", "_whole_and_streamed_and_gets_", "_no_longer_than_the_setting_says", "_ten_megabytes_"),
    *("_can_be_none_are_refused_", "_catches_the_classes_", "_copied_and_pasted", "_say_which_is_in_force"),
    *("_the_worker_sent_first_comes_first", "_that_lies_ends_its_own_instance", "_that_does_not_read_is_dropped_"),
)
LAST = "test_browser_"
RUN = "TEST_RUN_OF_PLAYGROUND"  # the process id of the run, by which its processes find what they share
os.environ.setdefault(RUN, str(os.getpid()))
AS_IF_ISOLATED = replace(TIER, letter="A")  # the code of these tests is ours, and lets nothing out by itself
FEWEST, MOST = 3, 4  # processes
# What tests leave running keeps no other from its turn: of two cores there would be workers for four runs.
MANY = (
    *("--starts-per-minute", "1000", "--running-per-address", "100", "--reads-per-minute", "100000"),
    *("--workers", "32"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-attack",
        action="store_true",
        help="make all attacks in every way a server can be run, not a third of them",
    )


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: half of the time a test waits for what it has started."""
    return min(max(len(os.sched_getaffinity(0)) + 1, FEWEST), MOST)


WATCH = quick_support.Watch()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick, and put browser tests last: once Playwright's sync API has started, its event loop stands in
    the way of any other in this process.

    The long ones come first of their kind, so that at the end no process is alone with one.
    """
    items[:] = [item for item in items if not is_left_out(item)]
    for item in items:
        quick_support.mark(item)
    items.sort(key=lambda item: (item.path.name.startswith(LAST), item.get_closest_marker("long") is None))


def is_left_out(item: pytest.Item) -> bool:
    """Whether a test is not repeated on PostgreSQL."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return params.get("database") == POSTGRES and any(part in item.nodeid for part in LEFT_OUT_ON_POSTGRES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Watch a quick test from its fixtures' beginning to their end."""
    if item.stash.get(quick_support.WATCHED, False):
        WATCH.begin()
    try:
        return (yield)
    finally:
        WATCH.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a quick test that has tried to start a process, even where the code under test got over the refusal."""
    yield
    if item.stash.get(quick_support.WATCHED, False) and WATCH.started:
        pytest.fail(quick_support.refusal(WATCH.started[0]), pytrace=False)


# Promises that the worker keeps, before anything reaches a store or by what it is sent of one, so that one database
# shows all there is to see.
OF_THE_WORKER = {
    f"test_semantics_{name}"
    for name in ("values", "config", "names", "misuse", "errors", "attempts", "parallel", "replay")
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what semantics.md promises on one node with each step acknowledged after its commit, and again where
    operations enter by another node than the one that plays, and code runs ahead of its commits: on PostgreSQL, where
    nodes are several in earnest, but for what never reaches a store.
    """
    name = metafunc.module.__name__
    if name.startswith("test_semantics_"):
        again = {"asked-elsewhere": ASKED_ELSEWHERE} if name in OF_THE_WORKER else {"on-postgres": POSTGRES}
        rounds = {"one-node": ALONE, **again}
        metafunc.parametrize("nodes", rounds.values(), ids=rounds, indirect=True)
    if name in ON_BOTH_DATABASES:
        metafunc.parametrize("database", [SQLITE, POSTGRES], indirect=True, scope="module")


# Both are autouse: of the names that a hook adds to a test, pytest forgets those that nothing requests.
@pytest.fixture(scope="module", autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """On which database the stores of a module's tests are."""
    if not hasattr(request, "param"):
        yield
        return
    with pytest.MonkeyPatch.context() as patched, database_support.on(request.param):
        if request.param == POSTGRES:
            patched.setattr(WorkflowTester, "database", database_support.postgres_database)
        yield


@pytest.fixture(autouse=True)
def nodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of every WorkflowTester of a test; in the second round code runs ahead of its commits, too."""
    if not hasattr(request, "param"):
        return
    monkeypatch.setattr(WorkflowTester, "nodes", ALONE if request.param == ALONE else ASKED_ELSEWHERE)
    if request.param == POSTGRES:
        monkeypatch.setattr(WorkflowTester, "database", database_support.postgres_database)
    if request.param != ALONE:
        monkeypatch.setattr(LocalSandbox, "tier", AS_IF_ISOLATED)


@pytest.fixture(params=[False, True], ids=["each-step-acknowledged", "code-runs-ahead"])
def runs_ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the code of every WorkflowTester runs ahead of its commits, as isolated code does."""
    ahead: bool = request.param
    if ahead:
        monkeypatch.setattr(LocalSandbox, "tier", AS_IF_ISOLATED)
    return ahead


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from browser_support import NoBrowser, launch
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        try:
            launched = launch(playwright)
        except NoBrowser as error:
            pytest.fail(str(error), pytrace=False)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[Background, Sandbox]]:
    """An event loop on a thread of its own, and the sandbox in it, for the tests of a module."""
    with running_sandbox() as running:
        yield running


make_site = pytest.fixture(sites, name="make_site")
make_shared_site = pytest.fixture(sites, name="make_shared_site", scope="module")


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    """A whole server in this process, for the tests of a module that leave it alone."""
    return make_shared_site()


@pytest.fixture(scope="module")
def place(sandbox: tuple[Background, Sandbox], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where a module's tests of what embeds the engine open theirs."""
    return Place(*sandbox, tmp_path_factory.mktemp("place"))


@pytest.fixture(params=[SQLITE, POSTGRES])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, one test run for each kind."""
    if request.param == SQLITE:
        yield sqlite_url(tmp_path)
    else:
        yield from postgres_database()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    from postgres_support import NoPostgres, shared_server

    with contextlib.suppress(NoPostgres):  # which the next line reports
        shared_server()
    yield from postgres_database()


def postgres_database() -> Iterator[str]:
    import postgres_support  # late: what runs on SQLite too stays quick

    try:
        url = postgres_support.new_database()
    except postgres_support.NoPostgres as error:
        pytest.fail(str(error), pytrace=False)
    yield url
    postgres_support.give_back(url)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the run's PostgreSQL, if one was started."""
    if os.environ[RUN] == str(os.getpid()):
        import postgres_support

        postgres_support.stop_shared_server()


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once, also where the environment says that Python writes no bytecode: a server that is
    started from its sources needs half a second more, and hundreds are. The same goes for tests in each process.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if os.environ[RUN] == str(os.getpid()):
        compileall.compile_dir(Path(__file__).parent.parent / "playground", quiet=2)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a process that leave it alone, so that no commit has to wait for the disk."""
    running = Server(tmp_path_factory.mktemp("server"), *MANY, "--synchronous", "normal").start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for one test, which may kill it."""
    running = Server(tmp_path_factory.mktemp("server"), *MANY).start()
    yield running
    running.stop()


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Callable[..., "Watched"]]:
    """`open_page(url, **context_options)` opens a page as a new visitor; at the end no page may have been in trouble.

    The hints of a first visit would stand over what other tests are about: `hints=True` lets them come. `hold` is that
    of `Watched`. The visitor is one who prefers reduced motion: a page that draws a living run sixty times a second
    takes a third of a core. Tests of the main flow have it move: `reduced_motion="no-preference"`.
    """
    from browser_support import Watched, without_hints

    opened: list[Watched] = []

    def open_one(url: str, hints: bool = False, hold: str = "", **options: object) -> Watched:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})  # type: ignore[arg-type]
        if not hints:
            context.add_init_script(without_hints(url))
        opened.append(Watched(context, url, hold))
        return opened[-1]

    yield open_one
    for watched in opened:
        watched.context.close()
    assert [trouble for watched in opened for trouble in watched.trouble] == []


@pytest.fixture
def opened(server: Server, open_page: "Callable[..., Watched]") -> "Callable[..., Playground]":
    """`opened("/path", **context_options)` opens a page of the module's server as a new visitor."""
    from page_support import Playground

    return lambda path="/", **options: Playground(open_page(server.url + path, **options), server.url)
