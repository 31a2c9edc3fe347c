"""What a system-call filter says of a call, found by running its code here as the kernel would.

The instructions are those of classic BPF (linux/bpf_common.h) that the kernel takes in a filter; what it looks at is
`struct seccomp_data` (linux/seccomp.h): the call's number, its architecture, where it came from, six arguments of 64
bits.
"""

import struct
from collections.abc import Callable, Mapping, Sequence

KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000

_ALL = (1 << 32) - 1
_MOST_STEPS = 4096  # a filter only jumps forward
_JUMPS: Mapping[int, Callable[[int, int], bool]] = {
    0x15: lambda held, k: held == k,  # JEQ
    0x25: lambda held, k: held > k,  # JGT
    0x35: lambda held, k: held >= k,  # JGE
    0x45: lambda held, k: bool(held & k),  # JSET
}
_LOAD, _LOAD_MEMORY, _STORE, _AND, _JUMP, _RETURN = 0x20, 0x60, 0x02, 0x54, 0x05, 0x06


class Filter:
    """A filter as `seccomp(2)` would be given it."""

    def __init__(self, code: bytes) -> None:
        self._code = list(struct.iter_unpack("<HBBI", code))

    def __call__(self, machine: int, number: int, arguments: Sequence[int] = ()) -> int:
        """What becomes of a call: ALLOW, KILL_PROCESS, or ERRNO with a number in its low bits."""
        given = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)][:6]
        words = struct.unpack("<16I", struct.pack("<IIQ6Q", number & _ALL, machine, 0, *given))
        held, at, memory = 0, 0, [0] * 16
        for _ in range(_MOST_STEPS):
            code, when, otherwise, k = self._code[at]
            at += 1
            if code == _RETURN:
                return int(k)
            if code == _LOAD:
                held = words[k // 4]
            elif code == _LOAD_MEMORY:
                held = memory[k]
            elif code == _STORE:
                memory[k] = held
            elif code == _AND:
                held &= k
            elif code == _JUMP:
                at += k
            else:
                at += when if _JUMPS[code](held, k) else otherwise
        raise AssertionError("the filter does not end")
