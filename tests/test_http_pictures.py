"""The picture on an example's card: its steps in the marks of the timeline, and the cut where its lesson kills the
worker.
"""

import json
from collections import Counter

import pytest

from playground.analysis import check
from playground.examples import load
from playground.web.pages.example_cards import HEIGHT, WIDTH, marks

BY_SLUG = {example.slug: example for example in load()}
KINDS = {
    "hello": {"do": 2, "lost": 1, "cut": 1, "sleep": 1},
    "crash-and-resume": {"do": 3, "lost": 1, "cut": 1, "sleep": 1},
    "retries": {"do": 2, "fail": 1, "gap": 1, "cut": 1},
    "saga": {"do": 2, "fail": 1, "back": 2},
    "fan-out": {"do": 4, "lost": 3, "cut": 1},
    "onboarding": {"do": 4, "sleep": 2, "cut": 1},
}


def outline(source: str) -> list[dict[str, object]]:
    return list(json.loads(json.dumps(check(source)))["outline"])


@pytest.mark.parametrize("slug", BY_SLUG)
def test_every_example_is_drawn_within_its_box(slug: str) -> None:
    drawn = marks(outline(BY_SLUG[slug].source), BY_SLUG[slug].tasks)
    assert drawn
    for mark in drawn:
        assert 0 <= mark.x and 0 <= mark.y <= HEIGHT - 7 and mark.width > 0
        assert mark.kind == "cut" or mark.x + mark.width <= WIDTH + 0.1
    if slug in KINDS:
        assert Counter(mark.kind for mark in drawn) == KINDS[slug]


def test_without_an_outline_there_is_none() -> None:
    assert marks(None, ()) == marks([], ()) == []
