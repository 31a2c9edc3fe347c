"""The trusted side under a million damaged frames, made from what real workers said, with its memory watched.

    python bench/fuzz.py [--frames 1000000] [--through-engine 0.1] [--seed 1]

Every example of the package is run once by isolated workers, and what they say is recorded. Then frames of these
conversations are damaged (bits, bytes, numbers, strings, brackets, fields, headers, order) and said again: most to a
channel, some by puppets to a whole engine with a real store, where an honest worker is tried again and again. Fails
when anything but a ProtocolError or a limit comes of it, or when memory grows.
"""

import argparse
import asyncio
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from puppet_support import Stage, framed, staged
from run_support import Program, run_all
from sandbox_support import resident

from playground.engine.execution import start
from playground.examples import load
from playground.sandbox.channel import FairReading, FrameChannel
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError

GROWTH = 64 * 1024 * 1024  # bytes that the process may grow by
AT_ONCE = 6  # puppets on the stage together
FRAMES_AT_ONCE = 40  # of a conversation that the engine hears
KEPT_LOG = {"limit", "no_worker", "recovered", "worker_lost"}
NUMBERS = (
    b"0",
    b"-1",
    b"1e308",
    b"1e999",
    b"-0.0",
    b"9" * 19,
    b"9" * 400,
    b"NaN",
    b"Infinity",
    b"0x10",
    b"1.5",
    b"true",
    b"null",
    b'"7"',
    b"[]",
)
TEXTS = (
    b'"\\ud800"',
    b'"\xff"',
    b'"\\u0000"',
    b'"' + b"x" * 2_000 + b'"',
    b'""',
    b'"\\uDFFF\\uD800"',
    b'"\x1b[2J"',
    b'"__proto__"',
    b"null",
    b"{}",
)
HEADERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x18\0\x01", b"\0\0\0\1", b"\x80\0\0\0")


def recorded(folder: Path) -> list[list[bytes]]:
    """What workers said in each execution of each example, as the bodies of their frames."""
    conversations: list[list[bytes]] = []

    class Recording(FrameChannel):
        def __init__(self, sock: socket.socket, on_frames: Any, on_closed: Any, turns: FairReading) -> None:
            said: list[bytes] = []
            conversations.append(said)

            def heard(batch: Sequence[tuple[Any, int]]) -> None:
                said.extend(msgspec.json.encode(frame) for frame, _ in batch)
                on_frames(batch)

            super().__init__(sock, heard, on_closed, turns)

    honest, start.FrameChannel = start.FrameChannel, Recording  # type: ignore[misc,attr-defined]
    try:
        programs = {
            it.slug: Program(it.source, it.params, events={"approved": {"by": "fuzz"}, "answer": 1}) for it in load()
        }
        asyncio.run(asyncio.wait_for(run_all(programs, folder), 60))
    except TimeoutError:
        pass  # an example that waits for something else; what was said until then will do
    finally:
        start.FrameChannel = honest  # type: ignore[misc,attr-defined]
    return [said for said in conversations if said]


class Damage:
    """Makes one bad frame of a good one."""

    def __init__(self, seed: int, bodies: list[bytes]) -> None:
        self._random = random.Random(seed)
        self._bodies = bodies
        self._ways = (
            self._flip, self._cut, self._insert, self._repeat, self._number, self._text, self._bracket, self._splice,
            self._field, self._nest, self._head,
        )  # fmt: skip

    def frame(self, body: bytes) -> bytes:
        """A damaged frame, with its header."""
        data = bytearray(body)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            way = self._random.choice(self._ways)
            if way == self._head:
                return self._random.choice(HEADERS) + bytes(data)
            way(data)
        return framed(bytes(data))

    def conversation(self, bodies: list[bytes]) -> tuple[list[bytes], int]:
        """One of which a few frames are damaged, left out, doubled or moved; and how many are not as they were."""
        said = [framed(body) for body in bodies]
        hit = self._random.randint(1, max(1, min(4, len(said))))
        for _ in range(hit):
            place = self._random.randrange(len(said))
            way = self._random.random()
            if way < 0.6:
                said[place] = self.frame(bodies[place % len(bodies)])
            elif way < 0.7 and len(said) > 1:
                del said[place]
            elif way < 0.8:
                said.insert(place, said[place])
            elif way < 0.9:
                said.insert(place, self.frame(self._random.choice(self._bodies)))
            else:
                other = self._random.randrange(len(said))
                said[place], said[other] = said[other], said[place]
        return said, hit

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data)) if data else 0

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self._random.randrange(8)

    def _cut(self, data: bytearray) -> None:
        start = self._place(data)
        del data[start : start + self._random.choice((1, 2, 8, 1_000))]

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self._random.randbytes(self._random.choice((1, 2, 16)))

    def _repeat(self, data: bytearray) -> None:
        start = self._place(data)
        part = bytes(data[start : start + 20])
        data[start:start] = part * self._random.choice((1, 5, 200))

    def _swap(self, data: bytearray, is_one: Any, others: Sequence[bytes]) -> None:
        """Put something else where a run of such bytes stands."""
        places = [at for at in range(len(data)) if is_one(data[at])]
        if places:
            start = end = self._random.choice(places)
            while end < len(data) and is_one(data[end]):
                end += 1
            data[start:end] = self._random.choice(others)

    def _number(self, data: bytearray) -> None:
        self._swap(data, lambda byte: 48 <= byte <= 57, NUMBERS)

    def _text(self, data: bytearray) -> None:
        start = data.find(b'"', self._place(data))
        end = data.find(b'"', start + 1)
        if 0 <= start < end:
            data[start : end + 1] = self._random.choice(TEXTS)

    def _bracket(self, data: bytearray) -> None:
        self._swap(data, lambda byte: byte in b"[]{}:,", (b"", b"[", b"{", b"]", b"}", b",", b":", b"]}"))

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._bodies)
        data[self._place(data) :] = other[self._random.randrange(len(other)) :]

    def _field(self, data: bytearray) -> None:
        place = data.find(b"{")
        if place >= 0:
            data[place + 1 : place + 1] = b'"%b":%b,' % (
                self._random.choice((b"op", b"step", b"instance", b"execution", b"value", b"attempt", b"rollback")),
                self._random.choice((*NUMBERS, *TEXTS)),
            )

    def _nest(self, data: bytearray) -> None:
        place = data.find(b":", self._place(data)) + 1
        deep = self._random.choice((3, 150, 250, 5_000))
        opening, closing = self._random.choice(((b"[", b"]"), (b'{"a":', b"}")))
        data[place:place] = opening * deep + b"1" + (closing * deep if self._random.random() < 0.7 else b"") + b","

    def _head(self, data: bytearray) -> None:
        """Told apart in `frame`."""


async def to_channels(damage: Damage, bodies: list[bytes], count: int) -> Counter[str]:
    """Say damaged frames, each after a good one and before one, to channels; what came of them."""
    outcome: Counter[str] = Counter()
    turns = FairReading()
    near, far = socket.socketpair()
    for end in (near, far):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
    for number in range(count):
        body = bodies[number % len(bodies)]
        data = framed(body) + damage.frame(body) + framed(body)
        heard: list[Any] = []
        ended: list[Any] = []
        channel = FrameChannel(near, heard.extend, ended.append, turns)
        far.send(data)
        while len(heard) < 3 and not ended and (channel._waits_for_turn or _unread(near)):
            if channel._waits_for_turn:
                await asyncio.sleep(0)
            else:
                channel._on_readable()
        channel.close()
        _empty(near)
        outcome["refused" if ended else "accepted" if len(heard) == 3 else "waited for more"] += 1
        if number % 2_000 == 0:
            await asyncio.sleep(0)
    near.close()
    far.close()
    return outcome


def _unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def _empty(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


async def to_engine(damage: Damage, conversations: list[list[bytes]], count: int, folder: Path) -> Counter[str]:
    """Have puppets say damaged conversations to a whole engine; how their instances ended."""
    outcome: Counter[str] = Counter()
    trouble: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(str(context)))
    said_in_all = 0

    async def one(stage: Stage, number: int) -> int:
        bodies = conversations[number % len(conversations)][:FRAMES_AT_ONCE]
        said, _ = damage.conversation(bodies)
        row, puppet = await stage.begin()
        listening = asyncio.ensure_future(_listen(puppet))
        await puppet.say(*said)
        puppet.leave()
        async with stage.engine.store.subscribe(row.key) as grown:
            for _ in range(1_000):
                now = await stage.engine.store.find("", row.id)
                if now.status in ev.FINAL_STATUSES or not now.in_execution:
                    break
                await grown(now.last_seq)
        await listening
        outcome[now.status if now.status != "errored" else str(now.error["name"])] += 1
        try:
            await stage.engine.delete(row)
        except WorkflowError as refused:
            trouble.append(f"{refused.code}: {refused.message}")
        return len(said)

    async with staged(folder, worker_losses=1, attempt_wall_seconds=5, workers=AT_ONCE + 2, idle_grace_ms=0) as stage:
        number = 0
        while said_in_all < count:
            said_in_all += sum([await one(stage, number + each) for each in range(AT_ONCE)])
            number += AT_ONCE
            if number % 300 == 0 and (await stage.innocent()).output != "fine":
                trouble.append("an honest worker was not served")
        strange = {event for event, _ in stage.log} - KEPT_LOG
    if strange or trouble:
        raise SystemExit(f"FAILED: logged {sorted(strange)}; {len(trouble)} troubles, the first: {trouble[:1]}")
    outcome["frames"] = said_in_all
    return outcome


async def _listen(puppet: Any) -> None:
    while await puppet.hear() is not None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument(
        "--through-engine", type=float, default=0.1, help="share of the frames that a whole engine hears"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        conversations = recorded(folder)
        bodies = [body for said in conversations for body in said]
        print(
            f"recorded {len(bodies):,} frames in {len(conversations)} conversations of {len(load())} examples",
            flush=True,
        )
        damage = Damage(options.seed, bodies)
        asyncio.run(to_channels(damage, bodies, 20_000))  # so that memory is what it is in the middle of a run
        before, began = resident(), time.perf_counter()
        by_engine = int(options.frames * options.through_engine)
        for what, story in (
            ("channel", to_channels(damage, bodies, options.frames - by_engine)),
            ("engine", to_engine(damage, conversations, by_engine, folder)),
        ):
            outcome = asyncio.run(story)
            seconds, grown = time.perf_counter() - began, resident() - before
            print(f"{what}: {dict(outcome)} in {seconds:.0f} s; memory {grown / 1e6:+.1f} MB", flush=True)
            if grown > GROWTH:
                raise SystemExit(f"FAILED: memory grew by {grown / 1e6:.0f} MB, which is over {GROWTH / 1e6:.0f}")
    print("ok")


if __name__ == "__main__":
    main()
