"""A worker that cannot be made ready, for the sandbox's own tests."""


def warm() -> None:
    """Nothing to warm."""


def prepare(fd: int) -> None:
    raise RuntimeError("broken on purpose")


def main(prepared: None) -> None:
    raise AssertionError("never reached")
