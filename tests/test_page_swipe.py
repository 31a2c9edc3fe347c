"""A swipe changes the halves of a small window; what a finger does for another reason does not."""

import pytest
from page_code_support import node

WIDTH = 390


def swipe(x: int, y: int = 0, *, at: int = 200, held: bool = False, ms: int = 200) -> str | None:
    """Which way a finger went that came down at `at` and moved by `x` and `y`."""
    given = [{"x": at, "y": 400, "at": 1_000, "held": held}, {"x": at + x, "y": 400 + y, "at": 1_000 + ms}]
    way = node(
        'import { swipeOf } from "RUN/../swipe.js";\nreturn swipeOf(...given.places, given.width);',
        {"places": given, "width": WIDTH},
    )
    return None if way is None else str(way)


@pytest.mark.parametrize(
    ("way", "moved"),
    [
        ("left", {"x": -60}),
        ("right", {"x": 60}),
        ("left", {"x": -150, "y": 90}),
        ("right", {"x": 120, "at": 24}),
        ("left", {"x": -120, "at": WIDTH - 24}),
        (None, {"x": -59}),
        (None, {"x": -100, "y": 61}),  # it scrolls down
        (None, {"x": 120, "at": 23}),  # the browser's own: back in its history
        (None, {"x": -120, "at": WIDTH - 23}),
        (None, {"x": -120, "held": True}),  # a slider, or code that scrolls sideways
        (None, {"x": -120, "ms": 701}),
    ],
)
def test_what_is_a_swipe(way: str | None, moved: dict[str, int]) -> None:
    assert swipe(**moved) == way  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "moved"),
    [
        (True, {"x": 8}),
        (True, {"x": -8, "y": 4}),
        (False, {"x": 0}),
        (False, {"x": 8, "y": 6}),  # it scrolls
        (False, {"x": 8, "at": 23}),
        (False, {"x": 8, "held": True}),
    ],
)
def test_what_a_finger_does_is_not_left_to_the_browser_once_it_may_be_a_swipe(
    ours: bool, moved: dict[str, int]
) -> None:
    x, y, at = moved["x"], moved.get("y", 0), moved.get("at", 200)
    given = [{"x": at, "y": 400, "held": moved.get("held", False)}, {"x": at + x, "y": 400 + y}]
    begins = node(
        'import { swipeBegins } from "RUN/../swipe.js";\nreturn swipeBegins(...given.places, given.width);',
        {"places": given, "width": WIDTH},
    )
    assert begins is ours
