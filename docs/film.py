"""Films a newcomer at the five tasks of the first minutes (run, kill, break, approve, share): a picture each half
second, all on one strip for each task, to be looked at: `./run python docs/film.py --out FOLDER`.

    --phone        on a telephone, else at 1,280 x 800
    --tasks NAMES  only these, with commas between
    --dark         in the dark

Each task is done as its words on the page ask for it, by what a person would press, with time to read in between
(READ_MS). A task whose control is not there fails and is named; its strip ends where it got to. The command then exits
with 2.
"""

import argparse
import io
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from browser_support import Watched, launch
from page_support import Playground, expect
from PIL import Image, ImageDraw
from playwright.sync_api import Error, sync_playwright
from server_support import Server

FRAME_MS = 500
READ_MS = 1_500  # that a person looks before the next press
COLUMNS = 6
SHRINK = 2  # a picture on the strip has so many times fewer points on a side
LABEL_PX = 18
FAILED = 2


class Film:
    """One page and the pictures of it. `wait` takes one each half second, as does everything that waits."""

    def __init__(self, page: Playground) -> None:
        self.page = page
        self.frames: list[tuple[float, str, bytes]] = []
        self.doing = ""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def take(self) -> None:
        self.frames.append((self.seconds, self.doing, self.page.page.screenshot(caret="hide", animations="allow")))

    def wait(self, ms: int = READ_MS) -> None:
        """Film for so long. On a slow machine there are fewer pictures; the time on each is true."""
        end = self.seconds + ms / 1_000
        while True:
            due = self.seconds + FRAME_MS / 1_000
            self.take()
            self.page.page.wait_for_timeout(max(0, min(due, end) - self.seconds) * 1_000)
            if self.seconds >= end:
                return

    def press(self, name: str) -> None:
        """Press a control by its words; where it is not drawn, as on a telephone's other half, this fails."""
        self.doing = f"press {name}"
        named = re.compile(rf"^{re.escape(name)}( Ctrl ↵)?$")  # the key that stands on a button is part of its name
        self.page.page.get_by_role("button", name=named).locator("visible=true").first.click(timeout=5_000)
        self.wait()

    def until(self, words: str, most_ms: int = 20_000) -> None:
        """Film until the run's half says this."""
        self.doing = f"until “{words}”"
        shown = self.page.page.locator("#run").get_by_text(words).first
        end = self.seconds + most_ms / 1_000
        while self.seconds < end:
            if shown.is_visible():
                return self.take()
            self.wait(FRAME_MS)
        raise AssertionError(f"it never said “{words}”")

    def strip(self) -> Image.Image:
        """All pictures, row by row, each with what is being done."""
        images = [Image.open(io.BytesIO(data)).convert("RGB") for _, _, data in self.frames]
        width, height = images[0].width // SHRINK, images[0].height // SHRINK + LABEL_PX
        rows = -(-len(images) // COLUMNS)
        sheet = Image.new("RGB", (COLUMNS * (width + 4), rows * (height + 4)), "#888")
        draw = ImageDraw.Draw(sheet)
        for index, (image, (at, doing, _)) in enumerate(zip(images, self.frames, strict=True)):
            left, top = index % COLUMNS * (width + 4), index // COLUMNS * (height + 4)
            draw.text((left + 4, top + 2), f"{at:.1f} s  {doing}", fill="#fff")
            sheet.paste(image.resize((width, height - LABEL_PX)), (left, top + LABEL_PX))
        return sheet


def run_it(film: Film) -> None:
    """Run: press Run, watch a step being committed."""
    film.wait()
    film.press("Run")
    film.until("in the journal. Now press")


def kill_it(film: Film) -> None:
    """Kill: as the hints ask, to the end, then back over the cut."""
    run_it(film)
    film.press("Kill worker")
    film.until("The ring")
    film.until("Drag the slider")
    film.doing = "drag the slider"
    film.page.page.get_by_label("Show the state at this event").press("ArrowLeft")
    film.wait()


def break_it(film: Film) -> None:
    """Break: have a step fail on purpose, and see it tried again."""
    to_run(film)
    film.press("Break charge card")
    film.press("Break it")
    film.press("Run")
    film.until("made to fail on purpose")
    film.press("Retry charge card now")
    film.until("attempt 2")


def approve(film: Film) -> None:
    """Approve: run the example of an approval, send the event that it waits for."""
    film.wait()
    film.press("Run")
    film.until("Send event")
    film.press("Send event")
    film.until("Complete")


def share(film: Film) -> None:
    """Share: a link to the code, and its QR code."""
    film.wait()
    film.press("Share")
    film.press("Copy")
    film.press("QR code")


def to_run(film: Film) -> None:
    """On a telephone, to the half that shows the plan."""
    film.wait()
    half = film.page.page.locator("#half-status")
    if half.is_visible():
        half.click()
        film.wait()


# What is filmed, by name: where it begins, and whether with the hints of a first visit.
TASKS: dict[str, tuple[Callable[[Film], None], str, bool]] = {
    "run": (run_it, "/", True),
    "kill": (kill_it, "/", True),
    "break": (break_it, "/examples/crash-and-resume", False),
    "approve": (approve, "/examples/approval", False),
    "share": (share, "/examples/crash-and-resume", False),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the strips")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names of tasks, with commas between")
    parser.add_argument("--phone", action="store_true", help="on a telephone")
    parser.add_argument("--dark", action="store_true", help="in the dark")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    size = {"width": 390, "height": 844} if options.phone else {"width": 1_280, "height": 800}
    failed = False
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        server = Server(Path(folder), "--idle-grace-ms", "1500").start()
        try:
            for name in options.tasks.split(","):
                act, path, hints = TASKS[name]
                context = browser.new_context(
                    viewport=size,
                    has_touch=options.phone,
                    color_scheme="dark" if options.dark else "light",
                    permissions=["clipboard-read", "clipboard-write"],
                )
                if not hints:
                    context.add_init_script("localStorage.setItem('playground.hints', '\"done\"')")
                film = Film(Playground(Watched(context, server.url + path), server.url))
                expect(film.page.page.locator("#problems")).to_have_text("No problems")
                try:
                    act(film)
                except (Error, AssertionError) as error:
                    failed = True
                    print(f"{name}: {str(error).strip()[:300]}", file=sys.stderr)
                    film.take()
                file = options.out / f"{name}{'-phone' if options.phone else ''}.png"
                film.strip().save(file)
                print(f"{file}: {len(film.frames)} pictures, {film.seconds:.1f} s")
                context.close()
        finally:
            server.stop()
            browser.close()
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
