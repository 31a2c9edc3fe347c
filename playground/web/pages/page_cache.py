"""A page is a shell, which is the same for all readers, and the words of one reader in its slots.

To render a whole page takes 2.5 ms and to compress it 1.3 ms, and nearly all of it depends on the kind of page and its
example only. So a shell is rendered once, with slots where pages differ (code, run, nonce, time), and what stands
between the slots is kept, compressed piece by piece. Sent is one gzip stream: the pieces as they are, and between them
what fills the slots. Code is large and shown again and again, so it is kept compressed too, by its text; the rest is
compressed fast for this reader, or not at all where it is short.

A shell of a page of code or of a run holds nothing of a reader's, nor what a tenant wrote. What is kept of code depends
on the text alone, what is kept of a run on the run and the seq of its last event.
"""

import re
import secrets
import struct
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

SHELL_BYTES = 8 * 1024 * 1024  # kept of shells
CODE_BYTES = 8 * 1024 * 1024  # kept of code
RUN_BYTES = 2 * 1024 * 1024  # kept of runs, and as much of comparisons
ENTRY_BYTES_MAX = 512 * 1024  # a larger shell or source is not kept
UNCOMPRESSED_BYTES = 160  # what fills a slot and is shorter is not compressed

_SLOT_SECRET = secrets.token_hex(16)  # nobody can know it and write it into what is shown
_SLOT = re.compile(rf'"{_SLOT_SECRET}\.json\.(\w+)\."|{_SLOT_SECRET}\.html\.(\w+)\.')
_GZIP_HEADER = (
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # gzip, no flags, no time, unknown system (RFC 1952, section 2.3)
)
_FINAL_BLOCK = b"\x01\x00\x00\xff\xff"  # an empty stored block that says it is the last (RFC 1951, section 3.2.4)


def html_slot(name: str) -> str:
    """What a template is given in the place of text; the text must be escaped when it fills the slot."""
    return f"{_SLOT_SECRET}.html.{name}."


def json_slot(name: str) -> str:
    """What stands in JSON in the place of any value: a string, which is replaced with its quotes."""
    return f"{_SLOT_SECRET}.json.{name}."


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a page, and the same as blocks of a deflate stream that refer to nothing before them."""

    plain: bytes
    deflated: bytes

    @classmethod
    def for_cache(cls, plain: bytes, level: int = 6) -> "Piece":
        """Compressed well, since it is done once."""
        return cls(plain, _deflate(plain, level))

    @classmethod
    def for_one_response(cls, plain: bytes) -> "Piece":
        """Compressed fast, or stored."""
        return cls(plain, _stored_block(plain) if len(plain) < UNCOMPRESSED_BYTES else _deflate(plain, 1))

    @property
    def size(self) -> int:
        return len(self.plain) + len(self.deflated)


class Shell:
    """A page as rendered with slots."""

    def __init__(self, html: str) -> None:
        self._pieces: list[Piece] = []
        self._slots: list[str] = []
        at = 0
        for found in _SLOT.finditer(html):
            self._pieces.append(Piece.for_cache(html[at : found.start()].encode(), 9))
            self._slots.append(found[1] or found[2])
            at = found.end()
        self._pieces.append(Piece.for_cache(html[at:].encode(), 9))
        self.size = sum(it.size for it in self._pieces)

    def fill(self, values: Mapping[str, bytes | Piece]) -> bytes:
        """The page with these values in its slots."""
        fills = (values[name] for name in self._slots)
        return b"".join(self._interleave([it if isinstance(it, bytes) else it.plain for it in fills], "plain"))

    def fill_gzip(self, values: Mapping[str, bytes | Piece]) -> bytes:
        """The same, compressed."""
        fills = [values[name] for name in self._slots]
        pieces = [Piece.for_one_response(it) if isinstance(it, bytes) else it for it in fills]
        plain = b"".join(self._interleave([it.plain for it in pieces], "plain"))
        ends = struct.pack("<II", zlib.crc32(plain), len(plain))
        return b"".join(
            [_GZIP_HEADER, *self._interleave([it.deflated for it in pieces], "deflated"), _FINAL_BLOCK, ends]
        )

    def _interleave(self, fills: list[bytes], form: str) -> Iterator[bytes]:
        for piece, fill in zip(self._pieces, [*fills, b""], strict=True):
            yield getattr(piece, form)
            yield fill


@dataclass(frozen=True, slots=True)
class Code:
    """A source as pages show it: highlighted, as text, and as JSON."""

    highlighted: Piece
    text: Piece
    json: Piece

    @property
    def size(self) -> int:
        return self.highlighted.size + self.text.size + 2 * self.json.size  # the source itself is the key


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A run for readers without JavaScript: what stands before and after how long it has taken, which goes on."""

    before: Piece
    after: Piece

    @property
    def size(self) -> int:
        return self.before.size + self.after.size


class Sized(Protocol):
    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Sized)


@dataclass(slots=True)
class SizedCache(Generic[T]):
    """Things by what they depend on, `bytes_most` of them in all; the least asked for is forgotten first."""

    bytes_max: int
    _entries: OrderedDict[Hashable, T] = field(default_factory=OrderedDict)
    _size: int = 0

    def get(self, key: Hashable) -> T | None:
        """The entry, if it is kept."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: Hashable, entry: T) -> None:
        """Keep an entry that will not change."""
        if key in self._entries or entry.size > ENTRY_BYTES_MAX:
            return
        self._entries[key] = entry
        self._size += entry.size
        while self._size > self.bytes_max:
            self._size -= self._entries.popitem(last=False)[1].size

    def clear(self) -> None:
        """Keep none."""
        self._entries.clear()
        self._size = 0


@dataclass(slots=True)
class PageCache:
    """What is kept. Runs and comparisons of runs stand under the seq of the last event that they show."""

    shells: SizedCache[Shell] = field(default_factory=lambda: SizedCache(SHELL_BYTES))
    code: SizedCache[Code] = field(default_factory=lambda: SizedCache(CODE_BYTES))
    runs: SizedCache[PlainRun] = field(default_factory=lambda: SizedCache(RUN_BYTES))
    comparisons: SizedCache[Shell] = field(default_factory=lambda: SizedCache(RUN_BYTES))

    def clear_runs(self) -> None:
        """Keep nothing of any run: nobody has asked for a while."""
        self.runs.clear()
        self.comparisons.clear()


def _deflate(piece: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)


def _stored_block(word: bytes) -> bytes:
    return b"\x00" + struct.pack("<HH", len(word), len(word) ^ 0xFFFF) + word
