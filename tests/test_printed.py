"""What is printed without a newline: sent by a flush and before a wait, kept when the worker goes, one line again."""

import asyncio
from typing import Any

from http_support import HELLO, MakeSite
from semantics_support import isolated, playing, story

from playground.testing import Run
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey
from playground.workflows.logs import join_log


async def pieces(run: Run) -> list[tuple[str | None, str, bool]]:
    """What was printed, event by event: the step's name, the text, whether its line goes on."""
    return [
        (event.step.name if event.step else None, event.data["text"], event.data.get("partial", False))
        for event in await run.journal()
        if event.type == ev.LOG
    ]


async def printed_until(run: Run, text: str) -> None:
    """Wait until the last of what a run printed ends so."""
    async with asyncio.timeout(20), run._tester.store.subscribe(run.key) as grown:
        while True:
            reached = (await run.row()).last_seq
            if any(line.endswith(text) for line in await run.logs()):
                return
            await grown(reached)


def log(
    seq: int,
    text: str,
    *,
    partial: bool = False,
    execution: int = 1,
    step: str | None = "one",
    stream: str = "stdout",
    **more: Any,
) -> Event:
    data = {
        "stream": stream,
        "level": None,
        "text": text,
        "replay": False,
        **({"partial": True} if partial else {}),
        **more,
    }
    return Event(seq, seq, ev.LOG, execution, StepKey("do", step, 1) if step else None, data)


@story
async def test_progress_without_newlines_is_one_line_and_there_when_the_worker_hibernates() -> None:
    body = """
    def work():
        for percent in (10, 50, 100):
            print(percent, "% ", end="", flush=True)
        return "done"
    await step.do("work", work)
    await step.sleep("a while", "4 hours")
    print("after")
    """
    async with playing(body, skip=False) as (tester, run):
        await tester.advance("1 minute")
        ended = [event.data["reason"] for event in await run.journal() if event.type == ev.EXECUTION_ENDED]
        assert ended == ["hibernated"]
        assert await run.logs() == ["10 % 50 % 100 % "]
        journal = await run.journal()
        assert {event.data["line"] for event in journal if event.type == ev.LOG} == {12}
        assert {event.step for event in journal if event.type == ev.LOG} == {StepKey("do", "work", 1)}
        tester.skip = True
        await run.result()
        assert await run.logs() == ["10 % 50 % 100 % ", "after"]


@story
async def test_text_without_a_newline_is_kept_when_a_real_worker_is_killed() -> None:
    body = """
    async def load():
        print("loading row 4711 ...", end=" ", flush=True)
        await asyncio.sleep(30)
        print("ok")
    await step.do("load", load)
    """
    async with isolated(body, skip=False) as (_, run):
        await printed_until(run, "loading row 4711 ... ")
        await run.kill_worker()
        await run.wait_for_status(ev.RUNNING)
        assert (await pieces(run))[0] == ("load", "loading row 4711 ... ", True)
        await run.terminate()


@story
async def test_a_flush_sends_at_once_though_the_code_never_waits() -> None:
    body = """
    def compute():
        print("computing", end=" ", flush=True)
        while True:
            pass
    await step.do("compute", compute)
    """
    async with isolated(body, skip=False) as (_, run):
        await printed_until(run, "computing ")
        await run.terminate()


@story
async def test_text_that_was_not_flushed_is_sent_before_the_loop_waits() -> None:
    body = """
    print("outside", end=" ")
    async def load():
        print("inside", end=" ")
        await asyncio.sleep(3600)
    await step.do("load", load)
    """
    async with playing(body, skip=False) as (tester, run):
        await tester.settle()
        assert await pieces(run) == [(None, "outside ", True), ("load", "inside ", True)]
        await run.terminate()


@story
async def test_a_line_that_an_attempt_began_ends_with_it() -> None:
    body = """
    async def load(ctx):
        print("loading", end="", flush=True)
        if ctx["attempt"] == 1:
            print(",", end=" ")
            raise ValueError("no")
        print(" ok")
    await step.do("load", load, config={"retries": {"limit": 1, "delay": "1 second"}})
    """
    async with playing(body) as (_, run):
        await run.result()
        assert await run.logs() == ["loading, ", "loading ok"]
        types = [
            event.type
            for event in await run.journal()
            if event.type in (ev.LOG, ev.ATTEMPT_ERRORED, ev.ATTEMPT_COMPLETED)
        ]
        assert types == [ev.LOG, ev.LOG, ev.ATTEMPT_ERRORED, ev.LOG, ev.LOG, ev.ATTEMPT_COMPLETED]


@story
async def test_a_flushed_line_that_ends_without_more_text_ends_all_the_same() -> None:
    body = """
    def twice(ctx):
        print("x", end="", flush=True)
        if ctx["attempt"] == 1:
            raise ValueError("no")
        print("y", end="", flush=True)
        print()
        print("z")
    await step.do("load", twice, config={"retries": {"limit": 1, "delay": "1 second"}})
    """
    async with playing(body) as (_, run):
        await run.result()
        assert await run.logs() == ["x", "xy", "z"]


@story
async def test_pieces_of_steps_and_streams_side_by_side_are_lines_of_their_own() -> None:
    body = """
    async def work(name, other):
        for piece in ("one ", "two ", "three"):
            print(name, piece, sep=":", end="", flush=True)
            print(name.upper(), end="", file=other, flush=True)
            await asyncio.sleep(1)
        print()
    import sys
    await asyncio.gather(step.do("a", lambda: work("a", sys.stderr)), step.do("b", lambda: work("b", sys.stderr)))
    """
    async with playing(body) as (_, run):
        await run.result()
        assert sorted(await run.logs()) == ["AAA", "BBB", "a:one a:two a:three", "b:one b:two b:three"]


@story
async def test_a_line_across_a_replay_keeps_what_is_new_apart_from_what_was_said_before() -> None:
    body = """
    print("before", end=" ")
    await step.sleep("a while", "1 hour")
    print("after")
    """
    async with playing(body) as (_, run):
        await run.result()
        journal = [event for event in await run.journal() if event.type == ev.LOG]
        assert [
            (event.execution, event.data["text"], event.data["replay"], event.data.get("partial", False))
            for event in journal
        ] == [
            (1, "before ", False, True),
            (2, "before ", True, True),
            (2, "after", False, False),
        ]
        assert await run.logs() == ["before ", "before after"]


@story
async def test_a_million_flushes_lose_nothing_and_make_no_flood_of_events() -> None:
    body = """
    def dots():
        for _ in range(200_000):
            print(".", end="", flush=True)
    await step.do("dots", dots)
    """
    async with isolated(body, skip=False) as (_, run):
        await run.wait_for_status(ev.COMPLETE)
        assert [len(line) for line in await run.logs()] == [200_000]
        assert len(await pieces(run)) < 1_000


@story
async def test_whole_lines_stay_one_event_each_however_slowly_they_come() -> None:
    body = """
    async def work():
        for number in range(3):
            print("line", number)
            print("line", number, "flushed", flush=True)
            await asyncio.sleep(1)
    await step.do("work", work)
    """
    async with playing(body) as (_, run):
        await run.result()
        assert await pieces(run) == [
            ("work", f"line {number}{more}", False) for number in range(3) for more in ("", " flushed")
        ]


@story
async def test_a_line_longer_than_a_frame_is_one_line_again() -> None:
    async with playing('print("x" * 20_000 + "\\n" + "y" * 9_000)') as (_, run):
        await run.result()
        assert await run.logs() == ["x" * 20_000, "y" * 9_000]
        lengths = [(len(text), partial) for _, text, partial in await pieces(run)]
        assert lengths == [(8_000, True), (8_000, True), (4_000, False), (8_000, True), (1_000, False)]


def test_the_page_without_scripts_shows_a_line_as_one(make_site: MakeSite) -> None:
    site = make_site()
    made = site.create(
        HELLO.replace('print("hello")', 'print("he", end="", flush=True); print("llo", end="", flush=True); print("!")')
    )
    site.finish(made)
    page = site.client.get(made["url"], headers={"Accept": "text/html"}).text
    assert page.count('<span class="msg">hello!</span>') == 1 and '<span class="msg">he</span>' not in page


def test_pieces_are_joined_within_their_execution_stream_and_step_only() -> None:
    journal = [
        log(1, "a", partial=True),
        log(2, "b", partial=True, step="two"),
        log(3, "c", partial=True, stream="stderr"),
        log(4, "d", execution=2),
        log(5, "e\nf", partial=True),
        log(6, "g"),
        log(7, "h"),
        log(8, "", step="two"),
        Event(9, 9, ev.WORKFLOW_COMPLETED, 2, None, {"output": None}),
    ]
    assert [(text.seq, text.text) for text in join_log(journal)] == [
        (1, "ae\nfg"),
        (2, "b"),
        (3, "c"),
        (4, "d"),
        (7, "h"),
    ]


def test_a_joined_text_is_a_replay_only_where_all_of_it_is_one() -> None:
    one, two = join_log([log(1, "a", partial=True, replay=True), log(2, "b"), log(3, "c", replay=True)])
    assert (one.text, one.replay, two.replay) == ("ab", False, True)


def test_a_joined_text_has_an_end() -> None:
    assert [text.text for text in join_log([log(seq, "abc", partial=True) for seq in range(1, 5)], most=6)] == [
        "abcabc",
        "abcabc",
    ]
