"""A worker for the sandbox's own tests: run the source that arrives, answer with what it left in `r`, end.

Only `Bench` leads here.
"""

import socket

HEADER = 4


def warm(fd: int) -> int:
    return fd


def prepare(fd: int) -> None:
    """Nothing to prepare."""


def main(fd: int) -> None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
    size = int.from_bytes(channel.recv(HEADER, socket.MSG_WAITALL), "big")
    source = channel.recv(size, socket.MSG_WAITALL).decode()
    space: dict[str, object] = {"channel": channel}
    try:
        exec(source, space)  # noqa: S102 - this is what a worker is for
        answer = repr(space.get("r"))
    except BaseException as error:  # noqa: BLE001 - it is the answer
        answer = f"{type(error).__name__}: {error}"
    channel.sendall(answer.encode())
