"""A worker that cannot be made ready, for the sandbox's own tests."""


def warm(fd: int) -> None:
    """Nothing to warm."""


def prepare(warmed: None) -> None:
    raise RuntimeError("broken on purpose")


def main(warmed: None) -> None:
    raise AssertionError("never reached")
