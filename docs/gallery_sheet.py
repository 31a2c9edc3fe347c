"""The gallery as a page to look at: all pictures of one folder, or two folders picture by picture.

A picture has changed where it differs by more than the noise of drawn text. What differs is framed: squares of TILE
pixels in which anything differs, joined where they touch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

NOISE = 24  # of 255: the edge of a letter that is drawn a fraction of a pixel to the side
TILE = 16  # pixels
FRAME = (214, 40, 40)
SHEET, COMPARED = "index.html", "compare.html"
MARKED = "marked"  # the folder of pictures with frames

Box = tuple[int, int, int, int]  # left, top, right, bottom

STYLE = """
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
body { margin: 24px; } h1 { font-size: 20px; } h2 { margin: 32px 0 4px; font-size: 16px; } p { margin: 0 0 8px; }
.row { display: flex; gap: 16px; align-items: flex-start; overflow-x: auto; padding-block-end: 8px; }
figure { flex: none; margin: 0; } figcaption { font-size: 12px; color: GrayText; }
img { display: block; border: 1px solid GrayText; height: auto; }
nav { columns: 4 180px; font-size: 13px; } a { color: inherit; }
"""


@dataclass(frozen=True)
class Difference:
    """How two pictures of one name differ: where, and by which share of their points."""

    boxes: tuple[Box, ...]
    share: float
    resized: bool = False


def difference(before: Image.Image, after: Image.Image) -> Difference:
    """Where two pictures differ, in the coordinates of the larger one."""
    size = (max(before.width, after.width), max(before.height, after.height))
    one, other = (_padded(picture, size) for picture in (before, after))
    changed = ImageChops.difference(one, other).convert("L").point(lambda value: 255 if value > NOISE else 0)
    columns, rows = -(-size[0] // TILE), -(-size[1] // TILE)
    tiles = {
        (column, row)
        for row in range(rows)
        for column in range(columns)
        if changed.crop((column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE)).getbbox()
    }
    share = changed.histogram()[255] / (size[0] * size[1])
    return Difference(tuple(_joined(tiles, size)), share, before.size != after.size)


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    whole = Image.new("RGB", size, (255, 0, 255))  # no colour of the page
    whole.paste(picture.convert("RGB"))
    return whole


def _joined(tiles: set[tuple[int, int]], size: tuple[int, int]) -> list[Box]:
    """The box of each group of squares that touch."""
    boxes, left = [], set(tiles)
    while left:
        group, reach = [], [left.pop()]
        while reach:
            column, row = reach.pop()
            group.append((column, row))
            near = {(column + right, row + down) for right in (-1, 0, 1) for down in (-1, 0, 1)} & left
            left -= near
            reach += near
        columns, rows = zip(*group, strict=True)
        right, bottom = min((max(columns) + 1) * TILE, size[0]), min((max(rows) + 1) * TILE, size[1])
        boxes.append((min(columns) * TILE, min(rows) * TILE, right, bottom))
    return sorted(boxes, key=lambda box: (box[1], box[0]))


def framed(picture: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """The picture with a frame around each box."""
    marked = picture.convert("RGB")
    draw = ImageDraw.Draw(marked)
    for left, top, right, bottom in boxes:
        draw.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=FRAME, width=2)
    return marked


def pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a gallery by name, `scene/1440-light`, in the order of their scenes' folders."""
    found = sorted(path for path in folder.glob("*/*.png") if path.parent.name != MARKED)
    return {f"{path.parent.name}/{path.stem}": path for path in found}


def write_sheet(folder: Path, titles: Mapping[str, str], failed: Mapping[str, str]) -> Path:
    """Write the sheet of all pictures of a folder. `failed` has the scenes that could not be brought about, and why."""
    have = pictures(folder)
    parts = [
        f"<nav>{''.join(f'<div><a href=#{name}>{escape(title)}</a></div>' for name, title in titles.items())}</nav>"
    ]
    for name, title in titles.items():
        parts.append(f"<h2 id={name}>{escape(title)}</h2>")
        if name in failed:
            parts.append(f"<p>Not taken: {escape(failed[name])}</p>")
        mine = {key.partition("/")[2]: path for key, path in have.items() if key.startswith(f"{name}/")}
        order = sorted(mine, key=lambda key: (-int(key.partition("-")[0]), key.endswith("dark")))
        figures = "".join(_figure(f"{name}/{mine[key].name}", key, int(key.partition("-")[0]) // 3) for key in order)
        parts.append(f"<div class=row>{figures}</div>")
    return _write(folder / SHEET, f"Gallery: {len(titles)} states, {len(have)} pictures", parts)


def write_comparison(folder: Path, other: Path, most: float = 0.0) -> tuple[Path, list[str]]:
    """Write the sheet of what differs from another folder's gallery; gives it and the names of what differs.

    `most`: the share of a picture's points that may differ.
    """
    after, before = pictures(folder), pictures(other)
    changed: list[tuple[str, Difference]] = []
    for name in sorted(after.keys() & before.keys()):
        if after[name].read_bytes() == before[name].read_bytes():
            continue
        with Image.open(before[name]) as old, Image.open(after[name]) as new:
            found = difference(old, new)
            if found.share <= most:
                continue
            marked = folder / MARKED / f"{name.replace('/', '-')}.png"
            marked.parent.mkdir(exist_ok=True)
            framed(new, found.boxes).save(marked)
        changed.append((name, found))
    changed.sort(key=lambda each: -each[1].share)
    parts = []
    for name, found in changed:
        size = ", of another size" if found.resized else ""
        parts.append(f"<h2>{name}</h2><p>{found.share:.2%} differ, in {len(found.boxes)} places{size}</p>")
        width = min(640, int(name.partition("/")[2].partition("-")[0]))
        files = (before[name].resolve().as_uri(), f"{name}.png", f"{MARKED}/{name.replace('/', '-')}.png")
        shown = zip(files, ("before", "after", "what differs"), strict=True)
        parts.append(f"<div class=row>{''.join(_figure(file, words, width) for file, words in shown)}</div>")
    gone, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    for title, names in (("Only in the other", gone), ("Only here", new)):
        if names:
            parts.append(f"<h2>{title}</h2><p>{escape(', '.join(names))}</p>")
    alike = len(after.keys() & before.keys()) - len(changed)
    title = f"{len(changed)} pictures differ, {alike} are alike, {len(new)} are new, {len(gone)} are gone"
    return _write(folder / COMPARED, title, parts), [name for name, _ in changed] + new + gone


def _figure(file: str, words: str, width: int) -> str:
    image = f'<img src="{escape(file)}" width={width} loading=lazy alt="">'
    return f'<figure><a href="{escape(file)}">{image}</a><figcaption>{escape(words)}</figcaption></figure>'


def _write(file: Path, title: str, parts: Sequence[str]) -> Path:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    file.write_text(f"{head}<h1>{title}</h1>\n{chr(10).join(parts)}\n", encoding="utf-8")
    return file
