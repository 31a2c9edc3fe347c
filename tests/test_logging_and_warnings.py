"""What code says through `logging` and `warnings`: as a script says it, never of files that are not the tenant's."""

import logging
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from semantics_support import isolated, playing, story

from playground.testing import Run
from playground.workflows import events as ev

# Real workers and those of the test kit must say the same. In this process pytest's own filters come first.
KINDS: dict[str, Callable[..., Any]] = {"real": isolated, "in process": playing}
pytestmark = pytest.mark.filterwarnings("default")


@asynccontextmanager
async def said(kind: str, body: str) -> AsyncIterator[tuple[Run, list[tuple[str, str | None, str]]]]:
    """A run that has ended, and (stream, level, text) of what it printed."""
    async with KINDS[kind](body) as (_, run):
        await run.wait_for_status(ev.COMPLETE, ev.ERRORED)
        logs = [event.data for event in await run.journal() if event.type == ev.LOG]
        yield run, [(data["stream"], data["level"], data["text"]) for data in logs]


LOG = """
import logging
{before}
log = logging.getLogger("shop")
log.debug("debug")
log.info("info %d", 1)
log.warning("warning")
logging.getLogger().debug("of the root")
"""
LEVELS = {
    "nothing asked": ("", [("INFO", "shop: info 1"), ("WARNING", "shop: warning")]),
    "a level and a format": (
        'logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")',
        [
            ("DEBUG", "DEBUG debug"),
            ("INFO", "INFO info 1"),
            ("WARNING", "WARNING warning"),
            ("DEBUG", "DEBUG of the root"),
        ],
    ),
    "a level by its name, and stdout": (
        'import sys; logging.basicConfig(level="WARNING", stream=sys.stdout)',
        [("WARNING", "shop: warning")],
    ),
    "a format in braces": (
        'logging.basicConfig(format="{name}/{message}", style="{")',
        [("INFO", "shop/info 1"), ("WARNING", "shop/warning")],
    ),
    "twice: the first counts": (
        'logging.basicConfig(level="ERROR"); logging.basicConfig(level="DEBUG")',
        [],
    ),
    "twice, the second by force": (
        'logging.basicConfig(level="ERROR"); logging.basicConfig(level="INFO", format="%(message)s", force=True)',
        [("INFO", "info 1"), ("WARNING", "warning")],
    ),
    "a level of a logger's own": (
        'logging.basicConfig(level="ERROR"); logging.getLogger("shop").setLevel("DEBUG")',
        [("DEBUG", "shop: debug"), ("INFO", "shop: info 1"), ("WARNING", "shop: warning")],
    ),
    "the root's level": (
        "logging.getLogger().setLevel(logging.WARNING)",
        [("WARNING", "shop: warning")],
    ),
}


# The root logger's own level is the process's: in a test kit, one workflow does not silence the rest.
@pytest.mark.parametrize(
    ("kind", "asked"),
    [(kind, asked) for kind in KINDS for asked in LEVELS if (kind, asked) != ("in process", "the root's level")],
)
def test_basic_config_does_what_it_does_in_a_script(kind: str, asked: str) -> None:
    before, expected = LEVELS[asked]

    @story
    async def told() -> None:
        async with said(kind, LOG.format(before=before)) as (run, lines):
            assert lines == [("logging", level, text) for level, text in expected]
            assert (await run.state()).status == ev.COMPLETE

    told()


@pytest.mark.parametrize("kind", KINDS)
def test_basic_config_refuses_what_it_refuses_in_a_script(kind: str) -> None:
    @story
    async def told() -> None:
        body = """
        import logging
        refused = []
        for given in ({"colour": 1}, {"level": "LOUD"}, {"style": "!", "format": "x"}):
            try:
                logging.basicConfig(**given)
            except ValueError as error:
                refused.append(str(error))
        logging.basicConfig(level="DEBUG")
        logging.debug("still")
        return refused
        """
        async with said(kind, body) as (run, lines):
            refused = await run.result()
            assert [text.split(":")[0] for text in refused] == [
                "Unrecognised argument(s)",
                "Unknown level",
                "Style must be one of",
            ]
            assert lines == [("logging", "DEBUG", "root: still")]

    told()


@story
async def test_handlers_of_the_codes_own_are_used_as_in_a_script() -> None:
    body = """
    import logging, sys
    logging.basicConfig(level="DEBUG", handlers=[logging.StreamHandler(sys.stdout)])
    logging.debug("through my own")
    """
    async with said("real", body) as (_, lines):
        assert lines == [("stdout", None, "DEBUG:root:through my own")]


@story
async def test_a_test_that_is_over_leaves_logging_and_warnings_as_they_were() -> None:
    before = logging.basicConfig, logging.getLogger().level, warnings.showwarning, list(warnings.filters), sys.stderr
    async with said("in process", 'import logging\nlogging.basicConfig(level="DEBUG", force=True)\nlogging.debug("x")'):
        pass
    assert (
        logging.basicConfig,
        logging.getLogger().level,
        warnings.showwarning,
        list(warnings.filters),
        sys.stderr,
    ) == before


@story
async def test_one_workflow_of_a_test_does_not_set_the_level_of_another() -> None:
    body = """
    import logging
    if event["payload"]["loud"]:
        logging.basicConfig(level="DEBUG", format="loud %(message)s")
    await step.sleep("for the other", "1 minute")
    logging.getLogger("shop").debug("debug")
    logging.getLogger("shop").info("info")
    """
    async with playing(body, {"loud": True}) as (tester, loud):
        quiet = await tester.create({"loud": False})
        await loud.result()
        await quiet.result()
        assert await loud.logs() == ["loud debug", "loud info"]
        assert "loud info" not in await quiet.logs() and "shop: info" in await quiet.logs()


# Warnings.


@pytest.mark.parametrize("kind", KINDS)
def test_a_deprecation_in_the_code_is_shown_as_in_a_script(kind: str) -> None:
    @story
    async def told() -> None:
        body = """
        import warnings
        warnings.warn("old thing", DeprecationWarning)
        warnings.warn("user thing")
        warnings.warn("pending", PendingDeprecationWarning)
        warnings.warn("of whoever called", stacklevel=2)
        """
        async with said(kind, body) as (run, lines):
            texts = [text for stream, _, text in lines if stream == "stderr" and "pending" not in text]
            assert [text.split("\n")[0].split(": ", 1)[1] for text in texts] == [
                "DeprecationWarning: old thing",
                "UserWarning: user thing",
                "UserWarning: of whoever called",
            ]
            assert all(text.startswith("workflow.py:") for text in texts)
            places = [event.data["line"] for event in await run.journal() if event.type == ev.LOG]
            assert places[:2] == [int(text.split(":")[1]) for text in texts[:2]]

    told()


FORGOTTEN = {
    'step.do("forgotten", lambda: 1)': '`step.do("forgotten", …)` was called on line {line} and never awaited, '
    "so it did not run. Write `await` before it.",
    'step.sleep("nap", "1 second")': '`step.sleep("nap", …)` was called on line {line} and never awaited',
    'step.sleep_until("noon", 1)': '`step.sleep_until("noon", …)` was called on line {line} and never awaited',
    'step.wait_for_event("go", "go")': '`step.wait_for_event("go", …)` was called on line {line} and never awaited',
    "decorated()": "The step `decorated()` was called on line {line} and never awaited",
    "self.env.KV.get('x')": "`self.env.KV.get(…)` was called on line {line} and never awaited",
    "mine()": "coroutine 'TenantWorkflow.run.<locals>.mine' was never awaited",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", FORGOTTEN)
def test_a_forgotten_await_is_told_in_the_codes_own_terms(kind: str, call: str) -> None:
    @story
    async def told() -> None:
        body = f"""
        @step.do("a step")
        async def decorated():
            pass
        async def mine():
            pass
        {call}
        await step.do("one", lambda: 1)
        """
        async with said(kind, body) as (run, lines):
            place = next(index for index, line in enumerate(run._tester.source.split("\n"), 1) if line.strip() == call)
            ((stream, _, text),) = lines
            assert (stream, text.split("\n")[1].strip()) == ("stderr", call)
            assert text.startswith(f"workflow.py:{place}: RuntimeWarning: {FORGOTTEN[call].format(line=place)}")

    told()


@story
async def test_a_coroutine_that_is_freed_elsewhere_is_told_of_where_it_was_called() -> None:
    body = """
    import gc
    gc.disable()
    def lose(call):
        ring = [call]
        ring.append(ring)
    lose(step.do("forgotten", lambda: 1))
    async def mine():
        pass
    lose(mine())
    async def collect():
        gc.collect()
    await step.do("one", collect)
    """
    async with said("real", body) as (run, lines):
        source = run._tester.source.split("\n")
        called = source.index('        lose(step.do("forgotten", lambda: 1))') + 1
        first = next(text for _, _, text in lines if "forgotten" in text)
        assert f"was called on line {called} and never awaited" in first
        assert all(text.startswith("workflow.py:") and "playground/" not in text for _, _, text in lines)
        assert len(lines) == 2
