"""What a worker can use up, and how its end is told."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_support import MEMORY, Held, hear, held, tell

from playground.sandbox.layers import cgroup

CPU_SECONDS = 1


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Held]:
    with held(cpu_seconds=CPU_SECONDS) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    "loop",
    {
        "python": "while True: pass",
        "with signals ignored": (
            "import signal\nfor n in (2, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
        ),
        "that swallows exceptions": "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "inside C": "sum(range(10**12))",
        "in a regular expression": "import re; re.match(r'(a+)+$', 'a' * 50 + 'b')",
    }.items(),
    ids=lambda case: case[0],
)
def test_a_busy_loop_ends_by_its_processor_time(sandbox: Held, loop: tuple[str, str]) -> None:
    answer, end = sandbox.run(loop[1])
    assert (answer, end.cause) == ("", "cpu")
    assert CPU_SECONDS / 2 <= end.cpu_seconds < CPU_SECONDS + 0.5


@pytest.mark.parametrize(
    "bomb", ["r = bytearray(1 << 40)", "r = [0]\nwhile True: r += r", "r = []\nwhile True: r.append(bytearray(4096))"]
)
def test_a_memory_bomb_hits_the_worker_only(sandbox: Held, bomb: str) -> None:
    answer, end = sandbox.run(bomb)
    assert answer == "" or answer.startswith("MemoryError")
    assert end.max_rss_bytes < MEMORY


def test_when_all_memory_is_used_up_a_worker_is_told_to_have_died_of_it() -> None:
    with held(group_bytes=80 * 1024 * 1024, parked=1) as small:
        if "sandbox.no_memory_group" in small.log.events():
            pytest.skip("this machine allows no memory group")
        answer, end = small.run("r = bytearray(b'x') * (110 << 20)")
        assert (answer, end.cause, end.signal) == ("", "memory", signal.SIGKILL)
        assert small.run("r = 1")[0] == "1"


def test_a_group_that_may_not_hand_memory_on_is_passed_over_for_the_one_above(tmp_path: Path) -> None:
    """As the kernel has it for a v2 group with processes in it, which is where systemd starts a service."""
    own = tmp_path / "server"
    (own / "cgroup.subtree_control").mkdir(parents=True)  # refuses to be written
    above = tmp_path / "cgroup.subtree_control"
    above.write_text("cpu")
    assert cgroup.delegating_group(own) == tmp_path
    assert above.read_text() == "+memory"
    above.write_text("cpu memory")
    assert cgroup.delegating_group(own) == tmp_path
    above.unlink()
    with pytest.raises(IsADirectoryError):
        cgroup.delegating_group(own)


def test_recursion_ends_in_an_error(sandbox: Held) -> None:
    answer, _ = sandbox.run("def f(): return f()\nf()")
    assert answer.startswith("RecursionError")


@pytest.mark.parametrize(
    ("crash", "signals"),
    {
        "import ctypes; ctypes.string_at(0)": {signal.SIGSEGV},
        "import os; os.abort()": {signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP},
    }.items(),
)
def test_a_crash_is_told_as_a_signal(sandbox: Held, crash: str, signals: set[int]) -> None:
    answer, end = sandbox.run(crash)
    assert (answer, end.cause, end.code) == ("", "signal", None)
    assert end.signal in signals


def test_an_exit_is_told_with_its_code(sandbox: Held) -> None:
    answer, end = sandbox.run("import os; os._exit(7)")
    assert (answer, end.cause, end.code, end.signal) == ("", "exit", 7, None)


def test_a_worker_that_waits_for_ever_can_be_killed(sandbox: Held) -> None:
    async def story() -> None:
        worker = await sandbox.sandbox.take_worker()
        await tell(
            worker,
            "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, "
            "65))\nchannel.send(b'x')\ntime.sleep(1000)",
        )
        assert await asyncio.get_running_loop().sock_recv(worker.sock, 1) == b"x"
        worker.kill()
        worker.kill()
        end = await worker.exited
        assert (end.cause, end.signal) == ("signal", signal.SIGKILL)
        assert await hear(worker) == ""
        worker.close()
        worker.close()
        worker.kill()

    sandbox.runner.run(story())


def test_a_deep_source_takes_only_its_worker(sandbox: Held) -> None:
    sandbox.run("exec('(' * 10_000_000)")
    sandbox.run("exec('-' * 3_000_000 + '1')")
    assert sandbox.run("r = 1")[0] == "1"
