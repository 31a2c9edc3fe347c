"""How values are stored: what comes back, and what is said of what can't be stored."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.frozensets(inner, max_size=3), max_leaves=4)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    LEAVES | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT | st.sampled_from(["$set", "$dict", "$int", "$datetime", "$bytes"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_what_can_be_stored_comes_back_equal_through_json(value):
    text = values.dumps(values.encode(value))
    back = values.decode(json.loads(text))
    assert back == value
    assert values.dumps(values.encode(back)) == text


@pytest.mark.parametrize(
    ("value", "tree"),
    [
        ((1, (2,)), [1, [2]]),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**53), {"$int": "-9007199254740992"}),
        (b"hi", {"$bytes": "aGk="}),
        (bytearray(b"hi"), {"$bytes": "aGk="}),
        ({2, 1}, {"$set": [1, 2]}),
        (datetime(2026, 1, 31, 10, tzinfo=UTC), {"$datetime": "2026-01-31T10:00:00+00:00"}),
        (datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=2))), {"$datetime": "2026-01-31T10:00:00+02:00"}),
        ({"$x": 1}, {"$dict": {"$x": 1}}),
        ({"$x": 1, "y": 2}, {"$x": 1, "y": 2}),
        ({"$dict": {}}, {"$dict": {"$dict": {}}}),
    ],
)
def test_the_stored_form(value, tree):
    assert values.encode(value) == tree


def test_subclasses_of_plain_types_are_stored_as_the_plain_value_without_their_methods():
    class Text(str):
        def __str__(self):
            raise AssertionError("asked")

    class Number(int):
        def __repr__(self):
            raise AssertionError("asked")

    class Real(float):
        def __repr__(self):
            raise AssertionError("asked")

    class Moment(datetime):
        def isoformat(self, *given, **named):
            raise AssertionError("asked")

    stored = values.encode([Text("a"), Number(5), Real(0.5), {Text("k"): 1}, Moment(2026, 1, 31)])
    assert values.dumps(stored) == '["a",5,0.5,{"k":1},{"$datetime":"2026-01-31T00:00:00"}]'
    assert [type(member) for member in stored[:3]] == [str, int, float]


class Hashable(dict):
    def __hash__(self):
        return 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            [{(1, Hashable())}],
            "not serialisable: $[0]{0}[1]: Hashable in a set (it would come back as a dict, which a set can't hold)",
        ),
        ({"items": [1, 2, 3, object()]}, "not serialisable: $.items[3]: object"),
        ({"a b": {"c": object()}}, 'not serialisable: $["a b"].c: object'),
        ([{1: 2}], "not serialisable: $[0]: dict with a key of type int (keys must be str)"),
        ([float("nan")], "not serialisable: $[0]: float nan"),
        (["\ud800"], "not serialisable: $[0]: str with a lone surrogate"),
        pytest.param(
            10**4300,
            "not serialisable: $: int of more than 4,300 digits (store it as a text, such as hex(number))",
            id="a long int",
        ),
        (timedelta(1), "not serialisable: $: timedelta"),
        (1j, "not serialisable: $: complex"),
        (range(3), "not serialisable: $: range"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path(value, said):
    with pytest.raises(NotSerialisable) as refused:
        values.encode(value)
    assert refused.value.message == said


def test_a_value_may_be_used_twice_but_not_contain_itself():
    shared = [1]
    assert values.encode([shared, shared]) == [[1], [1]]
    shared.append(shared)
    with pytest.raises(NotSerialisable, match=r"\$\[0\]\[1\]: list that contains itself"):
        values.encode([shared])


def test_100_levels_fit_and_101_do_not():
    value: list = []
    for _ in range(99):
        value = [value]
    values.encode(value)
    with pytest.raises(NotSerialisable, match="nested more than 100 levels deep"):
        values.encode([value])


def test_the_size_is_that_of_the_stored_utf_8():
    assert values.check_size("é" * 10, "result", 22) == 22
    with pytest.raises(
        TooLarge, match=r"The result is 22 bytes when stored; the limit is 21\. Keep large data elsewhere"
    ):
        values.check_size("é" * 10, "result", 21)


@pytest.mark.parametrize("tree", [{"$set": [[1, [2]], {"$set": [3]}]}, {"$unknown": 1}, {"$int": "5", "more": 1}])
def test_decoding_takes_lists_in_sets_and_leaves_unknown_tags_alone(tree):
    decoded = values.decode(tree)
    assert decoded in ({(1, (2,)), frozenset({3})}, tree)
