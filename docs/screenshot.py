"""Takes docs/screenshot.png from the real page: ./run python docs/screenshot.py

The example of a killed worker, while it goes on.
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser_support import Watched, launch
from page_support import Playground, expect
from playwright.sync_api import sync_playwright
from server_support import Server

SIZE = {"width": 1280, "height": 800}
BEFORE_KILL = "attempt 1: talking to the bank, 30 %"
SHOWN_AT = "attempt 2: talking to the bank, 50 %"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder)).start()
        browser = launch(playwright)
        context = browser.new_context(viewport=SIZE, color_scheme="light", device_scale_factor=1.5)
        page = Playground(Watched(context, server.url + "/examples/crash-and-resume"), server.url)
        page.run()
        page.tab("Logs")
        expect(page.logs).to_contain_text(BEFORE_KILL)
        page.control("Kill worker").click()
        expect(page.logs).to_contain_text(SHOWN_AT)
        page.page.screenshot(path=HERE / "screenshot.png")
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
