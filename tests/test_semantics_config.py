"""Section 9 of semantics.md: what a step's config means. Each test names the number of its behaviour."""

import itertools

import pytest
from semantics_support import LEDGER, attempts, delays, failure, outcome, playing, started, story, times

from playground.testing import WorkflowFailed
from playground.workflows import events as ev

FAILING = """
@step.do("charge", config=CONFIG)
async def charge(ctx):
    LEDGER.note(ctx["attempt"])
    raise ValueError(f"failure {ctx['attempt']}")
await charge()
"""


def failing(config: str) -> str:
    return FAILING.replace("CONFIG", config)


@pytest.mark.parametrize(
    ("given", "retries"),
    [
        (', config={"retries": {"limit": 3, "delay": 500}}', {"limit": 3, "delay": 500, "backoff": "exponential"}),
        ("", {"limit": 5, "delay": 10_000, "backoff": "exponential"}),
    ],
)
@story
async def test_01_what_a_config_leaves_out_takes_its_default(given, retries):
    async with playing(f'await step.do("a", lambda: 1{given})') as (_, run):
        await run.result()
        assert (await run.step("a")).config == {"retries": retries, "timeout": 600_000}


@story
async def test_02_limit_2_always_failing_gives_attempts_1_2_3_then_the_third_error():
    async with playing(failing('{"retries": {"limit": 2, "delay": 10}}')) as (_, run):
        with pytest.raises(WorkflowFailed, match="ValueError: failure 3"):
            await run.result()
        step = await run.step("charge")
    assert attempts(step) == [(1, "failure 1"), (2, "failure 2"), (3, "failure 3")]
    assert step.error["message"] == "failure 3"
    assert LEDGER.take() == [1, 2, 3]


@story
async def test_03_limit_0_gives_one_attempt():
    async with playing(failing('{"retries": {"limit": 0, "delay": 10}}')) as (_, run):
        with pytest.raises(WorkflowFailed, match="failure 1"):
            await run.result()
        assert attempts(await run.step("charge")) == [(1, "failure 1")]
    assert LEDGER.take() == [1]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [("linear", [1000, 2000, 3000]), ("exponential", [1000, 2000, 4000]), ("constant", [1000, 1000, 1000])],
)
@story
async def test_04_backoff(backoff, expected):
    """Linear d waits d, 2d, 3d; exponential d, 2d, 4d: in the journal, and by the clock."""
    async with playing(failing(f'{{"retries": {{"limit": 3, "delay": "1 second", "backoff": "{backoff}"}}}}')) as (
        _,
        run,
    ):
        await run.wait_for_status(ev.ERRORED)
        assert delays(await run.step("charge")) == [*expected, None]
        begun = await times(run, ev.ATTEMPT_STARTED)
    assert [later - earlier for earlier, later in itertools.pairwise(begun)] == expected


@story
async def test_05_the_last_failure_has_no_retry_delay():
    async with playing(failing('{"retries": {"limit": 1, "delay": 10}}')) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        failed = [event.data for event in await run.journal() if event.type == ev.ATTEMPT_ERRORED]
    assert failed[0]["retry_delay_ms"] == 10
    assert "retry_delay_ms" not in failed[1]


@story
async def test_06_changing_ctx_changes_nothing():
    body = """
    seen = []
    @step.do("a", config={"retries": {"limit": 1, "delay": 5}})
    async def a(ctx):
        LEDGER.note((ctx.step.name, ctx.step.count, ctx.attempt, ctx.config["retries"]["limit"]))
        ctx["attempt"] = 99
        ctx["step"]["name"] = "other"
        ctx["config"]["retries"]["limit"] = 50
        raise KeyError("again")
    await a()
    """
    error = await failure(body)
    assert error["name"] == "KeyError"
    assert LEDGER.take() == [("a", 1, 1, 1), ("a", 1, 2, 1)]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"retries": {"limit": 3}}', 'Config of step "charge": retries needs "delay"'),
        ('{"retries": {"delay": 3}}', 'Config of step "charge": retries needs "limit"'),
        (
            '{"retries": {"limit": 1, "delay": 1}, "retires": 3}',
            'unknown key "retires"; it takes retries, timeout, sensitive',
        ),
        ('{"retries": {"limit": 1, "delay": 1, "jitter": 3}}', 'unknown key "jitter"; it takes limit, delay, backoff'),
        ('{"timeout": 0}', "timeout must be greater than 0"),
        ('{"timeout": -1}', "Invalid duration -1"),
        ('{"timeout": "50 years"}', "timeout is longer than 365 days, the longest there is"),
        (
            '{"retries": {"limit": 1, "delay": "400 days"}}',
            "retries.delay is longer than 365 days, the longest there is",
        ),
        ('{"timeout": 10**5000}', "Invalid duration of more than 60 digits"),
        ("{10**5000: 1}", "unknown key of type int"),
        ('{"retries": {"limit": 10**5000, "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        (
            '{"timeout": "10ms"}',
            'Invalid duration "10ms": expected a number of milliseconds or a duration string like "30 seconds"',
        ),
        ('{"retries": {"limit": 1, "delay": "30s"}}', 'Invalid duration "30s"'),
        ('{"retries": {"limit": float("inf"), "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        ('{"retries": {"limit": float("nan"), "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        ('{"retries": {"limit": 1.5, "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        ('{"retries": {"limit": 10_001, "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        ('{"retries": {"limit": True, "delay": 1}}', "retries.limit must be a whole number from 0 to 10,000"),
        (
            '{"retries": {"limit": 1, "delay": 1, "backoff": "random"}}',
            "retries.backoff takes constant, linear, exponential",
        ),
        (
            '{"retries": {"limit": 1, "delay": 1, "backoff": ["linear"]}}',
            "retries.backoff takes constant, linear, exponential",
        ),
        ('{"sensitive": "input"}', 'sensitive takes "output"'),
        ('{"sensitive": ["output"]}', 'sensitive takes "output"'),
        ('{"retries": 3}', "retries must be a dict, not int"),
        ('["retries"]', "must be a dict, not list"),
    ],
)
@story
async def test_07_a_config_that_cannot_be_used_is_an_error_and_the_callback_never_runs(config, said):
    async with playing(failing(config)) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        assert await started(run) == []
        error = (await run.state()).error
    assert error["name"] == "StepConfigError"
    assert said in error["message"]
    assert error["line"] is not None
    assert LEDGER.take() == []


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        ("lambda info: 700", 700),
        ('lambda info: "2 seconds"', 2_000),
        ("lambda info: timedelta(minutes=1)", 60_000),
        ('lambda info: {"ValueError": 10, "KeyError": 20}[type(info["error"]).__name__]', 10),
        ('lambda info: info.ctx.attempt * 1000 + len(info["ctx"]["step"]["name"])', 1_006),
        ("slow_but_in_time", 3_000),
    ],
)
@story
async def test_08_a_delay_function_gives_the_delay(delay, expected):
    body = "async def slow_but_in_time(info):\n    await asyncio.sleep(4)\n    return 3000\n"
    config = f'{{"retries": {{"limit": 1, "delay": {delay}, "backoff": "constant"}}}}'
    async with playing(body + failing(config)) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        step = await run.step("charge")
    assert delays(step) == [expected, None]
    assert step.config["retries"]["delay"] == "computed"


@story
async def test_08_what_a_delay_function_gives_goes_through_backoff():
    config = '{"retries": {"limit": 2, "delay": lambda info: 100, "backoff": "linear"}}'
    async with playing(failing(config)) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        assert delays(await run.step("charge")) == [100, 200, None]


@pytest.mark.parametrize(
    ("delay", "said"),
    [
        ("lambda info: 1 / 0", "threw an error: division by zero"),
        ("too_slow", "did not return within 5 seconds"),
        ("no_answer", "threw an error: no answer"),
        (
            "lambda info: None",
            'returned an invalid delay value (expected a number of ms or a duration string like "30 seconds")',
        ),
        ('lambda info: "10ms"', "returned an invalid delay value"),
        ("lambda info: -1", "returned an invalid delay value"),
    ],
)
@story
async def test_08_a_delay_function_that_fails_ends_the_step_at_once(delay, said):
    body = (
        "async def too_slow(info):\n    await asyncio.sleep(6)\nasync def no_answer(info):\n    raise TimeoutError('no "
        "answer')\n"
    )
    async with playing(body + failing(f'{{"retries": {{"limit": 3, "delay": {delay}}}}}')) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        error = (await run.state()).error
        assert len((await run.step("charge")).attempts) == 1
    assert error["name"] == "NonRetryableDelayError"
    assert error["message"].startswith('The delay function for step "charge" ' + said)


@story
async def test_08_a_delay_function_has_its_own_time_beside_the_attempts():
    body = """
    async def delay(info):
        await asyncio.sleep(3)
        return 100
    @step.do("charge", config={"timeout": "5 seconds", "retries": {"limit": 1, "delay": delay}})
    async def charge(ctx):
        if ctx.attempt == 1:
            await asyncio.sleep(4)
            raise ConnectionError("no answer")
        return ctx.attempt
    return await charge()
    """
    async with playing(body) as (_, run):
        assert await run.result() == 2
        assert attempts(await run.step("charge")) == [(1, "no answer"), (2, None)]


@story
async def test_08_a_delay_function_is_not_asked_when_no_attempt_is_left():
    body = """
    def delay(info):
        LEDGER.note(info.ctx.attempt)
        return 10
    @step.do("a", config={"retries": {"limit": 2, "delay": delay}})
    async def a():
        raise ValueError("no")
    await a()
    """
    assert (await failure(body))["name"] == "ValueError"
    assert LEDGER.take() == [1, 2]


@story
async def test_20_sleep_of_1_5_hours_is_5_400_000_ms():
    async with playing('await step.sleep("nap", "1.5 hours")') as (tester, run):
        await run.result()
        began = [event for event in await run.journal() if event.type == ev.SLEEP_STARTED]
    assert began[0].data["until"] - began[0].at == 5_400_000
    assert tester.now() - tester.clock.start == 5_400_000


@pytest.mark.parametrize("duration", ["'10ms'", "'30s'", "'1h'", "''", "-1", "None", "[]", "float('inf')", "True"])
@story
async def test_20_a_sleep_of_no_duration_is_refused(duration):
    error = await failure(f'await step.sleep("nap", {duration})')
    assert error["name"] == "InvalidDuration"
    assert '"30 seconds"' in error["message"]


@story
async def test_20_numbers_are_milliseconds_and_timedeltas_are_durations():
    async with playing('await step.sleep("a", 1500); await step.sleep("b", timedelta(days=2))') as (tester, run):
        await run.result()
    assert tester.now() - tester.clock.start == 1_500 + 2 * 86_400_000


@story
async def test_outcome_of_a_plain_workflow():
    assert await outcome("return event.payload['n'] + 1", {"n": 1}) == 2


@story
async def test_01_the_config_that_a_step_began_with_governs_later_executions_and_is_what_its_callback_sees():
    body = """
    LEDGER.note("run")
    limit = random.randint(2, 9)  # another one in each execution, as a random one would be
    async def charge(ctx):
        LEDGER.note([ctx["attempt"], ctx["config"]["retries"]["limit"]])
        raise ValueError("declined")
    try:
        await step.do("charge", charge,
            config={"retries": {"limit": limit, "delay": "1 minute", "backoff": "constant"}})
    except ValueError:
        return "gave up"
    """
    async with playing(body, idle_grace_ms=0) as (_, run):
        assert await run.result() == "gave up"
        step, executions = await run.step("charge"), len((await run.state()).executions)
        limit = step.config["retries"]["limit"]
        assert executions == len(step.attempts) == limit + 1
    assert [note for note in LEDGER.take() if note != "run"] == [[attempt, limit] for attempt in range(1, limit + 2)]
