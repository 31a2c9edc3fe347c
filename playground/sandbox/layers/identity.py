"""Who a child is: a user that owns nothing, without capabilities. Seen inside the sandbox.

Users that own nothing, for workers of a server that runs as root: each worker is another one.
"""

import os
import pwd
from contextlib import suppress
from pathlib import Path

from playground.sandbox.layers import linux

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


def become(user: int) -> None:
    """Change to `user` and to the group of the same number, for good, and have no other group. Raises OSError.

    Signals at the parent's death are asked for again, since the kernel forgets them here.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if os.getresuid() != (user, user, user) or os.getresgid() != (user, user, user):
        raise PermissionError("the change of user had no effect")
    linux.die_with_parent()


def renounce() -> None:
    """Give up every capability, and for ever the gaining of privileges by exec. Raises OSError."""
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if linux.prctl(linux.PR_GET_NO_NEW_PRIVS) != 1:
        raise PermissionError("no_new_privs had no effect")
