"""Counts the functions and files that a piece of data passes through in the server: a source from its POST to the
worker's first frame, a person's event from its POST to the worker, a result from the worker's socket to a stream.

    ./run python bench/walks.py            each walk's files and functions, in the order of the first call

A function counts when one of its arguments holds the data: as text, or in a value it is a field of, three levels deep.
"""

import dataclasses
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from http_support import Site, running_sandbox

MARK = "walked_by_the_data"
PACKAGE = str(ROOT / "playground") + "/"
DEEPEST = 3
SOURCE = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):  # NOTE
    async def run(self, event, step):
        got = await step.wait_for_event("it", "it", timeout="1 hour")
        await step.do("give", lambda: RESULT if got["payload"] else "")
        await step.wait_for_event("end", "end", timeout="1 hour")
"""


def parts(value: Any) -> Iterable[Any]:
    """What a value directly holds."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set)):
        return list(value)[:20]
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return ()


def holds(value: Any, mark: str, level: int = 0) -> bool:
    """Whether the mark is in a value."""
    if isinstance(value, str):
        return mark in value
    if isinstance(value, (bytes, bytearray, memoryview, msgspec.Raw)):
        return mark.encode() in bytes(value)
    return level < DEEPEST and any(holds(part, mark, level + 1) for part in parts(value))


class Walk:
    """Records the functions that the mark comes to, from `start` on."""

    def __init__(self) -> None:
        self.mark = ""
        self.visited: dict[tuple[str, str], None] = {}

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event != "call" or not self.mark or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        try:
            if any(holds(frame.f_locals.get(name), self.mark) for name in names):
                self.visited[code.co_filename.removeprefix(PACKAGE), code.co_qualname] = None
        except RuntimeError:  # a mapping that changed meanwhile
            pass

    def start(self, mark: str) -> None:
        self.mark, self.visited = mark, {}

    def stop(self, what: str) -> None:
        self.mark = ""
        files = dict.fromkeys(file for file, _ in self.visited)
        print(f"{what}: {len(files)} files, {len(self.visited)} functions")
        for file in files:
            print(f"    {file}: {', '.join(name for at, name in self.visited if at == file)}")


def main() -> None:
    walk = Walk()
    threading.setprofile(walk)
    with running_sandbox() as (background, sandbox), tempfile.TemporaryDirectory() as folder:
        site = Site(background, sandbox, Path(folder))
        try:
            walk.start(MARK)
            made = site.create(SOURCE.replace("NOTE", MARK).replace("RESULT", '"a_result" + "_of_its_own"'))
            site.until(made, "workflow_waiting")
            walk.stop("a source, from its POST to the worker's first frame")
            walk.start("a_persons_word")
            site.operate(made, "events/it", {"word": "a_persons_word"})
            site.until(made, "wait_completed")
            walk.stop("a person's event, from its POST to the worker and to the stream")
            made = site.create(SOURCE.replace("RESULT", '"a_result" + "_of_its_own"'))
            site.until(made, "workflow_waiting")
            walk.start("a_result_of_its_own")
            site.operate(made, "events/it", {"any": "word"})
            site.until(made, "step_completed")
            walk.stop("a result, from the worker's socket to the stream")
        finally:
            site.close()


if __name__ == "__main__":
    main()
