"""Takes docs/screenshot-light.png and docs/screenshot-dark.png from the real page: `./run python docs/screenshot.py`.

The example of a killed worker, while it goes on: the second execution has read one step from the journal and runs the
next.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser_support import Watched, launch, without_hints
from page_support import Playground, expect
from playwright.sync_api import sync_playwright
from server_support import Server

SIZE = {"width": 1280, "height": 720}
SHARPNESS = 1.5  # pixels of the picture to one of the page
COLOURS = 128  # flat surfaces and text need no more, and a reader of the README waits for every byte
BEFORE_KILL = "attempt 1: talking to the bank, 30 %"
SHOWN_AT = "attempt 2: talking to the bank, 50 %"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder)).start()
        browser = launch(playwright)
        for theme in ("light", "dark"):
            context = browser.new_context(viewport=SIZE, color_scheme=theme, device_scale_factor=SHARPNESS)
            context.add_init_script(without_hints(server.url))
            page = Playground(Watched(context, server.url + "/examples/crash-and-resume"), server.url)
            page.run()
            page.tab("Logs")
            expect(page.logs).to_contain_text(BEFORE_KILL)
            page.control("Kill worker").click()
            expect(page.logs).to_contain_text(SHOWN_AT)
            page.tab("Replay")
            shot = Image.open(io.BytesIO(page.page.screenshot(animations="disabled")))
            shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
                HERE / f"screenshot-{theme}.png", optimize=True
            )
            context.close()
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
