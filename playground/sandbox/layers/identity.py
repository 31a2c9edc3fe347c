"""Who a child is: a user that owns nothing, without capabilities. Seen inside the sandbox."""

import os

from playground.sandbox.layers import linux


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
