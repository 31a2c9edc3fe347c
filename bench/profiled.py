"""A server whose event loop is sampled by its processor time: `python -m bench.profiled ARGUMENTS`, as of `playground`.

At its end it writes to `BENCH_PROFILE`, of all samples, the share of each function itself, and with what it calls.
SIGUSR1 forgets what was sampled before. A sample is taken between two instructions of Python, so time in C is counted
where it was called; the time of other threads is counted wherever the event loop is.
"""

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from playground import cli

SECONDS = 0.001
SHOWN = 70


class Sampler:
    """Counts functions by where the main thread is."""

    def __init__(self) -> None:
        self.samples = 0
        self.itself: Counter[str] = Counter()
        self.within: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, lambda *_: self.__init__())  # type: ignore[misc]
        signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self.samples += 1
        names = []
        while frame is not None:
            code = frame.f_code
            names.append(f"{code.co_filename.rpartition('site-packages/')[2].rpartition('wt-')[2]}:{code.co_qualname}")
            frame = frame.f_back
        if names:
            self.itself[names[0]] += 1
            self.within.update(set(names))

    def write(self, path: Path) -> None:
        lines = [f"{self.samples} samples of {SECONDS * 1000:.0f} ms of processor time"]
        for title, counts in (("itself", self.itself), ("with what it calls", self.within)):
            lines += ["", title]
            lines += [f"{n / max(1, self.samples) * 100:6.1f} %  {name}" for name, n in counts.most_common(SHOWN)]
        path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sampler = Sampler()
    sampler.start()
    try:
        sys.exit(cli.main(sys.argv[1:], os.environ))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sampler.write(Path(os.environ["BENCH_PROFILE"]))
