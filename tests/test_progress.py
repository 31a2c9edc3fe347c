"""The progress of a long command: one line on a terminal, few lines in a log."""

import io

from playground.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_is_one_line_on_a_terminal_and_few_in_a_log() -> None:
    clock = [0.0]
    for out, shown in ((Terminal(), 11), (io.StringIO(), 2)):
        line = ProgressLine(out, lambda: clock[0])
        for done in range(101):
            line.show("copying event", done, 100)
            clock[0] += 0.02
        line.end()
        assert out.getvalue().count("copying event") == shown
    text = out.getvalue().splitlines()
    assert text[0] == "  0% copying event, 0 of 100 rows"
    assert text[-1] == "100% copying event, 100 of 100 rows, 50/s, 0:00:00 left"
    half = Terminal()
    ProgressLine(half, lambda: clock[0]).show("checking kv", 1, 2)
    assert half.getvalue() == "\r[############............]  50% checking kv, 1 of 2 rows"
