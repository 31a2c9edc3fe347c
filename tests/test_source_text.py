"""Source as Python takes it: without the mark before it at every door, and with its lines where the parser has them."""

import traceback
from typing import Any

import pytest
from dispatch_support import on_engine, output
from http_support import HELLO, MakeSite, Site
from semantics_support import story, workflow
from tenants_support import ECHO, Tenant

from playground import Code, Dispatcher, Engine
from playground.engine import CreateInstance
from playground.testing import WorkflowTester
from playground.web.pages.highlight import highlight
from playground.workflows.compare import changed_lines
from playground.workflows.names import source_lines, source_lines_with_ends, without_byte_order_mark

MARK = "\ufeff"
SEPARATORS = {
    "a form feed": "\x0c",
    "U+2028": "\u2028",
    "U+2029": "\u2029",
    "U+0085": "\x85",
    "VT": "\x0b",
    "FS": "\x1c",
}


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


# The mark.


def test_one_mark_is_taken_away_and_no_more() -> None:
    assert without_byte_order_mark(f"{MARK}{MARK}x = '{MARK}'") == f"{MARK}x = '{MARK}'"
    assert without_byte_order_mark("x") == "x"


def test_a_source_with_a_mark_is_checked_and_run_as_the_one_without(site: Site) -> None:
    checked = site.client.post("/api/check", json={"source": MARK + HELLO}).json()
    assert checked == site.client.post("/api/check", json={"source": HELLO}).json()
    assert checked["ok"]
    made = site.create(MARK + HELLO)
    assert made["snippet"] == site.create(HELLO)["snippet"]
    assert site.finish(made)["output"] == {"greeting": "Hello, world!"}


def test_a_snippet_has_one_address_with_the_mark_and_without(site: Site) -> None:
    address = site.share(MARK + HELLO)
    assert address == site.share(HELLO)
    assert site.client.get(f"/api/snippets/{address.rsplit('/', 1)[-1]}").json()["source"] == HELLO
    assert site.client.get(f"{address}.py").text == HELLO


def test_a_link_to_new_code_may_begin_with_the_mark(site: Site) -> None:
    page = site.client.get("/new", params={"source": MARK + HELLO}, follow_redirects=True)
    assert page.status_code == 200 and "class" in page.text and MARK not in page.text


def test_a_tenant_deploys_the_same_version_with_the_mark_and_without(site: Site) -> None:
    tenant = Tenant(site, "marked")
    version = tenant.deploy(MARK + ECHO)
    again = tenant.deploy(ECHO)
    assert (again["version"], again["created"]) == (version["version"], False)
    assert tenant.ask("GET", f"/workflow/{version['version']}").json()["source"] == ECHO


def test_code_with_a_mark_is_taken_for_a_fork_and_for_one_that_lives(site: Site) -> None:
    made = site.create(HELLO)
    site.finish(made)
    fork = site.client.post(
        f"/api{made['url']}/fork",
        json={"from_step": {"name": "greet"}, "source": MARK + HELLO.replace("Hello", "Good day")},
    )
    assert fork.status_code == 201, fork.text
    assert site.finish(fork.json())["output"] == {"greeting": "Good day, world!"}
    waits = ECHO.replace("return event['payload']", 'await step.wait_for_event("go", "go")\n        return "old"')
    living = site.create(waits)
    site.until(living, "wait_started")
    changed = site.operate(living, "code", {"source": MARK + waits.replace("old", "new")})
    assert changed.status_code == 202, changed.text
    site.operate(living, "events/go", 1)
    assert site.finish(living)["output"] == "new"


@on_engine()
async def test_a_program_that_embeds_the_engine_may_hand_over_a_marked_file(engine: Engine) -> None:
    code = Code(MARK + HELLO)
    assert (code.source, code.version) == (HELLO, Code(HELLO).version)
    assert await engine.check(MARK + HELLO) == await engine.check(HELLO)
    instance = (
        await Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"}).create(params={"name": "Ada"})
    )
    assert await output(instance) == {"greeting": "Hello, Ada!"}
    row = await engine.create(CreateInstance(MARK + HELLO))
    assert row.snippet == code.version


@story
async def test_a_workflow_with_a_mark_is_tested_as_the_one_without() -> None:
    async with WorkflowTester(MARK + workflow("return 1")) as tester:
        assert await (await tester.create()).result() == 1


# Lines.


def test_lines_end_where_the_parser_ends_them() -> None:
    assert source_lines("a\nb\r\nc\rd\x0ce\u2028f\x85g\x0bh\x1ci") == ["a", "b", "c", "d\x0ce\u2028f\x85g\x0bh\x1ci"]
    assert (source_lines(""), source_lines("a\n"), source_lines("a\n\n"), source_lines_with_ends("a\r\nb")) == (
        [],
        ["a"],
        ["a", ""],
        ["a\n", "b\n"],
    )


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_traceback_shows_the_line_that_failed(separator: str) -> None:
    @story
    async def told() -> None:
        body = f"""
        # a comment with {SEPARATORS[separator]} in it
        import traceback
        def fails():
            {{}}["this one"]
        try:
            fails()
        except KeyError:
            traceback.print_exc()
        fails()
        """
        source = workflow(body)
        place = source.split("\n").index('            {}["this one"]') + 1
        async with WorkflowTester(source) as tester:
            run = await tester.create()
            await run.wait_for_status("errored")
            error = (await run.state()).error
            assert error is not None
            assert error["traceback"][-1] == {"line": place, "function": "fails", "code": '{}["this one"]'}
            printed = "\n".join(await run.logs())
            assert f'line {place}, in fails\n    {{}}["this one"]' in printed

    told()


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_a_traceback_shows_the_line_that_failed_whatever_ends_the_lines(end: str) -> None:
    @story
    async def told() -> None:
        source = workflow("x = 1\nraise ValueError('here')")
        async with WorkflowTester(source.replace("\n", end)) as tester:
            run = await tester.create()
            await run.wait_for_status("errored")
            error = (await run.state()).error
            assert error is not None and error["traceback"][-1]["code"] == "raise ValueError('here')"

    told()


def test_two_sources_differ_in_lines_of_the_parser() -> None:
    assert changed_lines("a\x0cb\nc\r\nd", "a\x0cb\nX\r\nd") == (2, ["c"], ["X"])
    assert changed_lines("a\u2028b", "a\u2028c") == (1, ["a\u2028b"], ["a\u2028c"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_listing_numbers_the_lines_of_the_parser(end: str) -> None:
    shown = str(highlight(end.join(["x = 1", "'''a", "b'''", "y = 2", ""])))
    assert [f'id="L{number}"' in shown for number in range(1, 6)] == [True] * 4 + [False]
    assert 'id="L4"><span' in shown or 'id="L4">y' in shown


def test_the_parser_agrees_on_what_ends_a_line() -> None:
    """What the helper assumes, asked of the parser that runs here."""
    for separator in ["\n", "\r", "\r\n", *SEPARATORS.values()]:
        source = f"x = '''{separator}'''\ny = 1/0"
        try:
            exec(compile(source, "here", "exec"), {})  # noqa: S102 - our own text
        except ZeroDivisionError as error:
            failed: Any = traceback.extract_tb(error.__traceback__)[-1].lineno
            assert source_lines(source)[failed - 1] == "y = 1/0", repr(separator)
