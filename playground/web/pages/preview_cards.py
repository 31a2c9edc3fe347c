"""The picture that stands for a link: 1200 by 630, drawn by Pillow from a title and some lines of code.

No browser, no network. What a tenant wrote comes in through `Card.code` alone, and only so much of it: LINES lines, of
which LINE_CHARACTERS are read and COLUMNS drawn, printable ones, one glyph after the other in a font of our own (no
shaping, no bidirectional text, no font of the system). So a picture takes the same small time whatever was written.
Colours are those of the dark theme in static/css/tokens.css.

A picture is drawn when it is first asked for, one at a time, in a thread, and kept. Whoever asks meanwhile waits
WAIT_SECONDS at most.
"""

import asyncio
import io
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from playground.workflows.errors import Busy
from playground.workflows.names import source_lines

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont


SIZE = (1200, 630)
EDITION = 2  # of the look; part of a picture's ETag, so that a new look is fetched anew
SITE_NAME = "Dynamic Workflows Playground"
TITLE_CHARACTERS = 60
NOTE_CHARACTERS = 220
LINES = 13  # of code, the last ones fading where more follows
COLUMNS = 73
LINE_CHARACTERS = 400  # of one line that are looked at: a line cut in the middle of a string would be coloured wrongly
SEARCHED_CHARACTERS = 64 * 1024  # of the source, for where its workflow begins

CACHED_BYTES = 8 * 1024 * 1024
WAIT_SECONDS = 5.0
WAITING_MAX = 20  # pictures asked for at once; who comes then is sent away at once
_BUSY = "Pictures of other links are being drawn. Ask again in 5 s."

_FONTS = Path(__file__).parent / "fonts"
_GROUND, _SURFACE, _LINE = "#0d1211", "#131918", "#28322f"
_INK, _INK_2, _INK_3, _BAR, _CUT, _ACCENT = "#e6edea", "#b4c0bc", "#8f9d98", "#9fb0aa", "#f2f7f5", "#54cdb9"
_COLOURS = {
    "tok-keyword": "#f0a3d4",
    "tok-string": "#a9d37c",
    "tok-number": "#8fbcff",
    "tok-name": "#7fd0ea",
    "tok-comment": "#8a9893",
}

_MARGIN = 56
_CODE_SIZE, _LEADING = 22, 33  # pixels
_BEGINS = re.compile(r"class\s+\w+\s*\(")
_PREAMBLE = re.compile(r"\s*(?:$|#|import\s|from\s)")


@dataclass(frozen=True, slots=True)
class Card:
    """What is drawn.

    `note` stands under the title, `tag` beside the site's name; both may be empty. `first_line` numbers the code.
    """

    title: str
    note: str = ""
    tag: str = ""
    code: tuple[str, ...] = ()
    first_line: int = 1
    more: bool = False


def card_of(title: str, source: str, *, note: str = "", tag: str = "") -> Card:
    """A card with the first lines of the source that say something: from its first class on, without what is imported
    before.
    """
    lines = source_lines(source[:SEARCHED_CHARACTERS]) or [""]
    begin = next((number for number, line in enumerate(lines) if _BEGINS.match(line[:LINE_CHARACTERS])), None)
    if begin is None:
        begin = next((number for number, line in enumerate(lines) if not _PREAMBLE.match(line[:LINE_CHARACTERS])), 0)
    shown = lines[begin : begin + LINES]
    while shown and not shown[-1].strip():
        shown.pop()
    more = any(line.strip() for line in lines[begin + len(shown) : begin + len(shown) + 400])
    return Card(
        _short(title, TITLE_CHARACTERS), _short(note, NOTE_CHARACTERS), tag, tuple(map(_line, shown)), begin + 1, more
    )


def draw_card(card: Card) -> bytes:
    """The card as PNG."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", SIZE, _GROUND)
    pen = ImageDraw.Draw(image)
    top = _head(pen, card)
    if card.code:
        _code(pen, card, top)
    else:
        _motif(pen, _MARGIN, 486, 2.1)
    out = io.BytesIO()
    image.quantize(colors=128, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _head(pen: "ImageDraw", card: Card) -> int:
    """The site, the title and the note; gives where the code may begin."""
    small, large = _font("inter-semibold-subset.otf", 24), _font("inter-semibold-subset.otf", 46 if card.code else 64)
    _brand(pen, _MARGIN, 52)
    pen.text((_MARGIN + 62, 50), SITE_NAME, _INK_2, small, anchor="lm")
    if card.tag:
        mono = _font("jetbrains-mono-subset.ttf", 22)
        pen.text((SIZE[0] - _MARGIN, 50), card.tag, _INK_3, mono, anchor="rm")
    if not card.code:
        top = 132
        for line in _wrapped(pen, card.title, large, SIZE[0] - 2 * _MARGIN, 2):
            pen.text((_MARGIN, top), line, _INK, large, anchor="la")
            top += 80
        return _note(pen, card.note, top + 16, 28, 3)
    top = 92
    for line in _wrapped(pen, card.title, large, SIZE[0] - 2 * _MARGIN, 1):
        pen.text((_MARGIN - 2, top), line, _INK, large, anchor="la")
    return _note(pen, card.note, top + 66, 24, 2) + 16


def _note(pen: "ImageDraw", text: str, top: int, size: int, most: int) -> int:
    font = _font("inter-semibold-subset.otf", size)
    for line in _wrapped(pen, text, font, SIZE[0] - 2 * _MARGIN, most):
        pen.text((_MARGIN, top), line, _INK_2, font, anchor="la")
        top += round(size * 1.4)
    return top


def _code(pen: "ImageDraw", card: Card, top: int) -> None:
    from playground.web.pages.highlight import token_runs

    font = _font("jetbrains-mono-subset.ttf", _CODE_SIZE)
    advance = font.getlength("0")
    room = min(len(card.code), (SIZE[1] - top - 30) // _LEADING + 1)
    goes_on = card.more or room < len(card.code)
    # Its edge is outside where the code goes on.
    bottom = SIZE[1] + 20 if goes_on else min(top + 36 + room * _LEADING, SIZE[1] + 20)
    pen.rounded_rectangle((_MARGIN, top, SIZE[0] - _MARGIN, bottom), 14, _SURFACE, _LINE, 2)
    text = "\n".join(card.code[:room])
    colours = [_INK] * len(text)
    for begin, end, name in token_runs(text):
        colours[begin:end] = [_COLOURS.get(name, _INK)] * (end - begin)
    gutter = len(str(card.first_line + room)) + 1
    left = _MARGIN + 24 + gutter * advance + 10
    at = 0
    for row, line in enumerate(text.split("\n")):
        fading = goes_on and row >= room - 2
        strength = (0.3 if row == room - 1 else 0.65) if fading else 1.0
        y = top + 22 + row * _LEADING
        number = str(card.first_line + row)
        pen.text((left - 24, y), number, _faded(_INK_3, strength * 0.8), font, anchor="ra")
        shown = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
        for begin, end in _runs(colours[at : at + len(shown)]):
            pen.text((left + begin * advance, y), shown[begin:end], _faded(colours[at + begin], strength), font)
        at += len(line) + 1


def _runs(colours: list[str]) -> Iterator[tuple[int, int]]:
    begin = 0
    for at in range(1, len(colours) + 1):
        if at == len(colours) or colours[at] != colours[begin]:
            yield begin, at
            begin = at


def _brand(pen: "ImageDraw", x: int, y: int) -> None:
    """The mark of static/icon.svg, its centre line at `y`."""
    pen.rounded_rectangle((x, y - 6, x + 15, y + 6), 3, _CUT)
    pen.rectangle((x + 20, y - 17, x + 24, y + 17), _CUT)
    pen.rounded_rectangle((x + 29, y - 6, x + 47, y + 6), 3, _ACCENT)


def _motif(pen: "ImageDraw", x: int, y: int, scale: float) -> None:
    """A run that lost its worker and went on: what ran, the cut, what runs now, what is to come."""

    def bar(left: float, row: int, long: float, **how: object) -> None:
        top = y + row * 22 * scale
        pen.rounded_rectangle((x + left * scale, top, x + (left + long) * scale, top + 14 * scale), 4, **how)  # type: ignore[arg-type]

    bar(0, 0, 118, fill=_BAR)
    bar(126, 1, 60, fill="#6b7874")
    bar(206, 1, 150, fill=_ACCENT)
    bar(364, 2, 96, outline=_INK_3, width=2)
    pen.rectangle((x + 194 * scale, y - 18 * scale, x + 196.5 * scale, y + 76 * scale), _CUT)


def _wrapped(pen: "ImageDraw", text: str, font: "FreeTypeFont", width: int, most: int) -> list[str]:
    """Text in at most `most` lines of `width` pixels, cut at the end if it is longer."""
    if "\n" in text:
        return [line for part in text.split("\n")[:most] for line in _wrapped(pen, part, font, width, 1)]
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        line = words.pop(0)
        while words and pen.textlength(f"{line} {words[0]}", font) <= width:
            line += f" {words.pop(0)}"
        lines.append(line)
    for place, line in enumerate(lines):
        cut = bool(words) and place == len(lines) - 1
        while line and pen.textlength(line + ("…" if cut else ""), font) > width:
            line, cut = line[:-1], True
        lines[place] = line.rstrip(" .,:") + "…" if cut else line
    return lines


def _line(text: str) -> str:
    text = text[:LINE_CHARACTERS].expandtabs(4).rstrip()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _short(text: str, most: int) -> str:
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: most * 4]).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _faded(colour: str, strength: float) -> str:
    """The colour, so much of it, on the surface."""
    if strength == 1:
        return colour
    parts = [(int(colour[at : at + 2], 16), int(_SURFACE[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(front * strength + back * (1 - strength)):02x}" for front, back in parts)


def _font(file: str, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(str(_FONTS / file), size, layout_engine=ImageFont.Layout.BASIC)


@dataclass(slots=True)
class CardCache:
    """Pictures by their ETag, the least asked for forgotten first. `draw` makes one; it is called in a thread."""

    draw: Callable[[Card], bytes] = draw_card
    wait: float = WAIT_SECONDS
    _pictures: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _size: int = 0
    _waiting: int = 0
    _pen: asyncio.Lock = field(default_factory=asyncio.Lock)

    def cached_picture(self, etag: str) -> bytes | None:
        """The picture, if it is remembered."""
        if etag in self._pictures:
            self._pictures.move_to_end(etag)
        return self._pictures.get(etag)

    async def draw_picture(self, etag: str, card: Card) -> bytes:
        """Draw it, or wait for whoever draws. Raises Busy: the wait took too long, or many wait already."""
        if self._waiting >= WAITING_MAX:
            raise Busy(_BUSY, retry_after=5)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self._draw(etag, card))), self.wait)
        except TimeoutError:
            raise Busy(_BUSY, retry_after=5) from None

    async def _draw(self, etag: str, card: Card) -> bytes:
        self._waiting += 1
        try:
            async with self._pen:
                found = self.cached_picture(etag)
                if found is None:
                    found = self._pictures[etag] = await asyncio.to_thread(self.draw, card)
                    self._size += len(found)
                    while self._size > CACHED_BYTES and len(self._pictures) > 1:
                        self._size -= len(self._pictures.popitem(last=False)[1])
                return found
        finally:
            self._waiting -= 1
