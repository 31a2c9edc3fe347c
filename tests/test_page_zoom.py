"""A closer look at the timeline: what stands where while a part of it is in view,
computed by the page's own modules.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from page_code_support import node

JOURNALS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))
}
BEYOND = 3

ZOOMED = """
import { fold } from "RUN/fold.js";
import { labels } from "RUN/axis.js";
import { Scale } from "RUN/scale.js";
return given.map((events) => {
  const state = fold(events);
  const scale = new Scale();
  const final = true;
  scale.update(state, state.lastAt + 500, final);
  const { span } = scale;
  return [[0, 0.5], [0.25, 0.75], [0.4, 0.41], [0.95, 1.4], [-0.5, 0.2]].map(([from, to]) => {
    scale.look(span * from, span * to);
    scale.update(state, state.lastAt + 500, final);
    const { a, b } = scale.view;
    const places = [0, 10, 50, 90, 100];
    const shown = labels({ scale, cuts: [], stale: false, final, width: 600, narrow: false, held: "" });
    return {
      span, a, b, wanted: span * (to - from),
      back: places.map((place) => scale.at(scale.moment(place)) - place),
      all: events.filter((event) => event.at >= scale.start).map((event) => scale.at(event.at)),
      edges: [scale.units(scale.moment(0)) - a, scale.units(scale.moment(100)) - b],
      labels: shown.map((label) => [label.kind, label.a, label.text]),
    };
  });
});
"""
WHOLE_AGAIN = """
import { fold } from "RUN/fold.js";
import { Scale } from "RUN/scale.js";
const state = fold(given);
const scale = new Scale();
scale.update(state, state.lastAt, true);
const before = given.map((event) => scale.at(event.at));
scale.look(scale.span * 0.3, scale.span * 0.6);
const within = given.map((event) => scale.at(event.at));
scale.look(0, scale.span);
return { before, within, after: given.map((event) => scale.at(event.at)), view: scale.view };
"""


@pytest.fixture(scope="module")
def zoomed() -> dict[str, list[dict[str, Any]]]:
    return dict(zip(JOURNALS, node(ZOOMED, list(JOURNALS.values())), strict=True))


@pytest.mark.parametrize("name", JOURNALS)
def test_a_part_in_view_has_its_width_and_stays_within_the_whole(
    name: str, zoomed: dict[str, list[dict[str, Any]]]
) -> None:
    for seen in zoomed[name]:
        assert seen["b"] - seen["a"] == pytest.approx(seen["wanted"], rel=1e-6)
        assert 0 <= seen["a"] < seen["b"] <= seen["span"] * (1 + 1e-9)
        assert seen["edges"] == pytest.approx([0, 0], abs=max(0.5, 1e-3 * seen["span"]))


@pytest.mark.parametrize("name", JOURNALS)
def test_places_and_moments_lead_to_each_other_and_what_is_out_of_view_is_just_outside(
    name: str, zoomed: dict[str, list[dict[str, Any]]]
) -> None:
    for seen in zoomed[name]:
        assert seen["back"] == pytest.approx([0] * 5, abs=0.1 + 0.1 / (seen["b"] - seen["a"]))
        assert seen["all"] == sorted(seen["all"])
        assert all(-BEYOND <= place <= 100 + BEYOND for place in seen["all"])


@pytest.mark.parametrize("name", JOURNALS)
def test_labels_stand_in_view_and_no_two_say_the_same(name: str, zoomed: dict[str, list[dict[str, Any]]]) -> None:
    for seen in zoomed[name]:
        assert all(0 <= place <= 100 for _, place, _ in seen["labels"])
        ticks = [text for kind, _, text in seen["labels"] if kind == "tick"]
        assert len(set(ticks)) == len(ticks) <= 12


def test_the_whole_in_view_again_is_as_it_was() -> None:
    seen = node(WHOLE_AGAIN, JOURNALS["killed-and-woken"])
    assert seen["view"] is None
    assert seen["after"] == seen["before"]
    assert seen["within"] != seen["before"]
