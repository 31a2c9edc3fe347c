"""Durations, names, ids and config: the vocabulary's own rules, without an engine."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.workflows import durations, names
from playground.workflows import step_config as configs
from playground.workflows.durations import InvalidDuration
from playground.workflows.errors import InvalidEventType, InvalidId, InvalidName
from playground.workflows.step_config import StepConfig, StepConfigError


@pytest.mark.parametrize(
    ("given_", "milliseconds"),
    [
        (0, 0),
        (1, 1),
        (1.4, 1),
        (1.6, 2),
        ("1 second", 1_000),
        ("2 seconds", 2_000),
        ("1.5 hours", 5_400_000),
        (".5 minutes", 30_000),
        ("  3   days  ", 259_200_000),
        ("1 week", 604_800_000),
        ("1 month", 30 * 86_400_000),
        ("1 year", 31_557_600_000),
        ("0 seconds", 0),
        (timedelta(seconds=1.5), 1_500),
        (timedelta(0), 0),
    ],
)
def test_durations_that_are_understood(given_, milliseconds):
    assert durations.parse(given_) == milliseconds


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "10",
        "10ms",
        "30s",
        "1h",
        "1 fortnight",
        "one second",
        "-1 second",
        "1 second ago",
        "1e3 seconds",
        "1 seconds\n1",
        "∞ days",
        "1  Second",
    ]
    + [
        "9" * 400 + " years",
        "1 " * 100,
        -1,
        -0.5,
        math.inf,
        -math.inf,
        math.nan,
        True,
        False,
        None,
        [],
        {},
        b"1 second",
        timedelta(seconds=-1),
        object(),
    ],
)
def test_durations_that_are_refused_with_the_value_and_an_example(given_):
    with pytest.raises(InvalidDuration) as refused:
        durations.parse(given_)
    assert 'a duration string like "30 seconds"' in str(refused.value)
    assert len(str(refused.value)) < 250
    if isinstance(given_, str) and len(given_) < 60:
        assert f'"{given_}"' in str(refused.value)


@given(st.floats(min_value=0, max_value=1e6, allow_nan=False), st.sampled_from(sorted(durations.UNITS)), st.booleans())
def test_a_decimal_number_of_any_unit_is_what_it_says(amount, unit, plural):
    text = f"{amount:.3f} {unit}{'s' * plural}"
    assert durations.parse(text) == pytest.approx(round(amount, 3) * durations.UNITS[unit], abs=1)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text):
    try:
        assert durations.parse(text) >= 0
    except InvalidDuration:
        pass


@pytest.mark.parametrize("id", ["a", "A-b_9", "_", "0", "x" * 100])
def test_ids_that_fit(id):
    assert names.check_instance_id(id) == id
    assert names.check_event_type(id) == id


@pytest.mark.parametrize("id", ["", "-a", "a.b", "a b", "a\n", "é", "x" * 101, None, 7, b"a"])
def test_ids_that_do_not_fit_are_shown_in_the_message(id):
    for check, refusal in ((names.check_instance_id, InvalidId), (names.check_event_type, InvalidEventType)):
        with pytest.raises(refusal, match="1 to 100 letters, digits, _ and -, not beginning with -"):
            check(id)


def test_names_of_workflows_and_tenants_have_64_characters():
    assert names.check_name("x" * 64, "tenant") == "x" * 64
    with pytest.raises(InvalidName, match="The tenant name"):
        names.check_name("x" * 65, "tenant")


@pytest.mark.parametrize(
    ("name", "fits"),
    [("a", True), ("é語 😀", True), ("x" * 256, True), ("x" * 257, False), ("", False), ("a\tb", False)],
)
def test_step_names(name, fits):
    assert names.is_step_name(name) is fits


@pytest.mark.parametrize("name", ["\x00", "\x7f", "\x85", "\ud800", None, 1])
def test_step_names_with_control_characters_or_of_other_types_do_not_fit(name):
    assert not names.is_step_name(name)
    assert "\x00" not in names.step_name_error(name)


def test_no_config_is_the_defaults():
    assert configs.resolve(None, "s") == configs.resolve({}, "s") == StepConfig(5, 10_000, "exponential", 600_000)


def test_a_config_that_is_only_an_empty_retries_says_what_is_missing():
    with pytest.raises(StepConfigError, match='Config of step "s": retries needs "limit"'):
        configs.resolve({"retries": {}}, "s")


def test_limits_may_be_whole_floats():
    assert configs.resolve({"retries": {"limit": 3.0, "delay": 1}}, "s").limit == 3


def test_a_delay_function_shows_as_computed():
    config = configs.resolve({"retries": {"limit": 1, "delay": lambda info: 1}}, "s")
    assert config.delay is None
    assert config.as_json()["retries"]["delay"] == "computed"


@given(st.sampled_from(configs.BACKOFFS), st.integers(0, durations.LONGEST), st.integers(1, 10_001))
def test_backoff_is_never_less_than_the_delay_and_never_over_365_days(backoff, delay, attempt):
    waited = configs.backoff_delay(backoff, delay, attempt)
    assert delay <= waited <= durations.LONGEST or waited == durations.LONGEST


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_given_as_config_is_resolved_or_refused(anything):
    for given_ in (
        anything,
        {"retries": anything},
        {"timeout": anything},
        {"retries": {"limit": anything, "delay": anything}},
        {"sensitive": anything},
    ):
        try:
            config = configs.resolve(given_, "s")
        except StepConfigError as refused:
            assert str(refused).startswith('Config of step "s"')
        else:
            assert 0 <= config.limit <= configs.RETRY_LIMIT_MOST
            assert config.timeout > 0
