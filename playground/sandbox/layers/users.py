"""Users that own nothing, for workers of a server that runs as root: each worker is another one."""

import pwd
from contextlib import suppress
from pathlib import Path

# Where no distribution and not systemd hands out users (systemd.io/UIDS-GIDS): a wide range, a narrow one that small
# containers have too, nobody.
_RANGES = (range(1_879_048_192, 1_879_048_192 + 65_536), range(60_706, 61_184), range(65_534, 65_535))


def unused() -> range:
    """The first range that this machine (or the container's user mapping) has in full and that no account uses."""
    taken = {account.pw_uid for account in pwd.getpwall()}
    for numbers in _RANGES[:-1]:
        if _mapped(numbers) and not taken.intersection(numbers):
            return numbers
    return _RANGES[-1]


def _mapped(numbers: range) -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = map(int, line.split())
            if first <= numbers[0] and numbers[-1] < first + count:
                return True
        return False
    return True
