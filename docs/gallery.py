"""Takes pictures of every state of the page, at four sizes, light and dark, and lays them out on a sheet to look at:
`./run python docs/gallery.py --out FOLDER`.

    --compare OTHER   also a sheet of what differs from the pictures in OTHER, with frames around it; exits with 1 if
                      anything does
    --scenes PATTERN  only scenes whose names match
    --no-take         take none: only the sheets, of what FOLDER holds

A scene that cannot be brought about is named on the sheet, and the command exits with 2.
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from browser_support import launch
from gallery_scenes import Scene, all_scenes
from gallery_sheet import write_comparison, write_sheet
from gallery_stage import Stage
from playwright.sync_api import Error, sync_playwright

DIFFERENT, FAILED = 1, 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures and the sheets")
    parser.add_argument("--compare", type=Path, help="folder of an earlier gallery")
    parser.add_argument("--scenes", default="", help="regular expression that a scene's name must match")
    parser.add_argument("--no-take", action="store_true", help="take no pictures")
    parser.add_argument("--most", type=float, default=0.0, help="share of a picture's points that may differ")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    scenes = all_scenes(options.scenes)
    failed = {} if options.no_take else take(scenes, options.out)
    titles = {name: (scene.__doc__ or name).strip().rstrip(".") for name, scene in scenes.items()}
    print(write_sheet(options.out, titles, failed))
    if failed:
        return FAILED
    if options.compare:
        sheet, names = write_comparison(options.out, options.compare, options.most)
        print(sheet)
        return DIFFERENT if names else 0
    return 0


def take(scenes: dict[str, Scene], out: Path) -> dict[str, str]:
    """Bring about each scene and take its pictures; gives those that could not be, with the reason."""
    failed = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        stage = Stage(browser, Path(folder))
        try:
            for name, scene in scenes.items():
                try:
                    scene(stage)
                    stage.take(out / name)
                except (Error, AssertionError) as error:
                    failed[name] = str(error).strip()[:400]
                    print(f"{name}: {failed[name]}", file=sys.stderr)
                stage.leave()
        finally:
            stage.close()
            browser.close()
    return failed


if __name__ == "__main__":
    sys.exit(main())
