"""The stage of the gallery, on a scene: pictures at its largest and its smallest size, light and dark, twice alike."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))

from gallery_scenes import all_scenes
from gallery_sheet import pictures, write_comparison
from gallery_stage import SCHEMES, SIZES, Stage
from playwright.sync_api import Browser

pytestmark = pytest.mark.long
SCENES = ("errored",)  # which waits for nothing
EDGES = {width: SIZES[width] for width in (max(SIZES), min(SIZES))}


def test_every_state_is_told_in_a_sentence_of_its_own() -> None:
    titles = [scene.__doc__ for scene in all_scenes().values()]
    assert len(titles) > 50 and None not in titles
    assert len(set(titles)) == len(titles)


def test_pictures_of_a_scene_are_the_same_when_they_are_taken_again(browser: Browser, tmp_path: Path) -> None:
    for turn in ("one", "other"):
        (tmp_path / f"server-{turn}").mkdir()
        stage = Stage(browser, tmp_path / f"server-{turn}")
        try:
            for name in SCENES:
                all_scenes()[name](stage)
                stage.take(tmp_path / turn / name, EDGES)
                stage.leave()
        finally:
            stage.close()
    expected = {f"{name}/{width}-{scheme}" for name in SCENES for width in EDGES for scheme in SCHEMES}
    assert set(pictures(tmp_path / "one")) == expected
    assert write_comparison(tmp_path / "one", tmp_path / "other")[1] == []
