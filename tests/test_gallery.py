"""The gallery of the page's states: what it finds different between two pictures, and that scenes become pictures."""

import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))

from gallery_sheet import NOISE, TILE, difference, write_comparison, write_sheet


def picture(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (320, 240), shade: int = 0) -> Image.Image:
    drawn = Image.new("RGB", size, (255 - shade,) * 3)
    for box in boxes:
        ImageDraw.Draw(drawn).rectangle(box, fill=(0, 0, 0))
    return drawn


def test_alike_pictures_differ_in_nothing_nor_by_the_edge_of_a_letter() -> None:
    assert difference(picture(), picture()).boxes == ()
    assert difference(picture(), picture(shade=NOISE)).boxes == ()
    assert difference(picture(), picture(shade=NOISE + 1)).share == 1


def test_what_differs_is_framed_each_place_by_itself() -> None:
    found = difference(picture(), picture((20, 20, 60, 30), (200, 100, 203, 200)))
    assert found.boxes == ((16, 16, 64, 32), (192, 96, 208, 208))
    assert found.share == pytest.approx((41 * 11 + 4 * 101) / (320 * 240))
    assert not found.resized


def test_places_that_touch_are_one() -> None:
    assert difference(picture(), picture((0, 0, TILE - 1, TILE - 1), (TILE, TILE, TILE + 3, TILE + 3))).boxes == (
        (0, 0, 2 * TILE, 2 * TILE),
    )


def test_a_picture_that_grew_differs_where_it_grew() -> None:
    found = difference(picture(), picture(size=(320, 256)))
    assert (found.boxes, found.resized) == (((0, 240, 320, 256),), True)


def test_two_galleries_are_compared_picture_by_picture(tmp_path: Path) -> None:
    for folder, names in (("before", ("a", "b", "old")), ("after", ("a", "b", "new"))):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            box = [(0, 0, 8, 8)] if (folder, name) == ("after", "b") else []
            picture(*box).save(tmp_path / folder / name / "390-dark.png")
    sheet, names = write_comparison(tmp_path / "after", tmp_path / "before")
    assert names == ["b/390-dark", "new/390-dark", "old/390-dark"]
    text = sheet.read_text()
    assert "1 pictures differ, 1 are alike, 1 are new, 1 are gone" in text
    with Image.open(tmp_path / "after" / "marked" / "b-390-dark.png") as marked:
        assert marked.getpixel((17, 5)) == (214, 40, 40)
    assert write_comparison(tmp_path / "after", tmp_path / "before", most=0.5)[1] == names[1:]


def test_the_sheet_names_what_could_not_be_taken(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    picture().save(tmp_path / "start" / "390-dark.png")
    text = write_sheet(tmp_path, {"start": "The <first> page", "lost": "Lost"}, {"lost": "no server"}).read_text()
    assert "The &lt;first&gt; page" in text and "Not taken: no server" in text
    assert 'src="start/390-dark.png"' in text
