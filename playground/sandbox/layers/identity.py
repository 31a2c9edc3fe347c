"""User ids and capabilities of workers. Loaded inside the sandbox.

A worker has no capabilities. When the server runs as root, each worker gets another uid that owns nothing.
"""

import os
import pwd
from contextlib import suppress
from pathlib import Path

from playground.sandbox.layers import linux

# Ranges that no distribution and not systemd assigns (systemd.io/UIDS-GIDS): a wide one, a narrow one that small
# containers map too, nobody.
_RANGES = (range(1_879_048_192, 1_879_048_192 + 65_536), range(60_706, 61_184), range(65_534, 65_535))


def unused_users() -> range:
    """The first range of uids that this machine (or the container's uid map) has in full and no account uses."""
    used = {account.pw_uid for account in pwd.getpwall()}
    for numbers in _RANGES[:-1]:
        if _is_mapped(numbers) and not used.intersection(numbers):
            return numbers
    return _RANGES[-1]


def _is_mapped(numbers: range) -> bool:
    with suppress(OSError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = map(int, line.split())
            if first <= numbers[0] and numbers[-1] < first + count:
                return True
        return False
    return True


def change_user(user: int) -> None:
    """Change to uid `user` and the gid of the same number, for good, without other groups. Raises OSError.

    The parent-death signal is set again, since the kernel clears it here.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if os.getresuid() != (user, user, user) or os.getresgid() != (user, user, user):
        raise PermissionError("the change of user had no effect")
    linux.die_with_parent()


def drop_privileges() -> None:
    """Drop every capability, and set no_new_privs. Raises OSError."""
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if linux.prctl(linux.PR_GET_NO_NEW_PRIVS) != 1:
        raise PermissionError("no_new_privs had no effect")
