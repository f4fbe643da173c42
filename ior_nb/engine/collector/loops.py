"""Loops as old verifiers want them: closed by a jump.

Compilers like to put the end of a loop before its head and to run on into it. Verifiers of old kernels know a loop by
its jump back and refuse that ("back-edge from insn 947 to 948", check_cfg() of kernel/bpf/verifier.c; seen on 6.1).
Which loops come out so differs with every version of the compiler, so it is mended in the instructions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["closed_by_jumps", "run_on"]

# Operation codes: Documentation/bpf/standardization/instruction-set.rst.
_LOAD64, _JUMP, _CALL, _EXIT = 0x18, 0x05, 0x85, 0x95
_JUMPS: Final = (5, 6)  # classes of instructions
_BYTES: Final = 8


def closed_by_jumps(code: bytes) -> bytes:
    """Return instructions that do the same, with a jump to the next one wherever a loop was closed without."""
    heads = sorted({at + 1 for at in run_on(code)})
    if not heads:
        return code

    def moved(at: int) -> int:
        return at + sum(head <= at for head in heads)

    changed = bytearray()
    at = 0
    while at < len(code) // _BYTES:
        if at in heads:
            changed += struct.pack("<BBhi", _JUMP, 0, 0, 0)
        size = 2 if code[at * _BYTES] == _LOAD64 else 1
        word = bytearray(code[at * _BYTES : (at + size) * _BYTES])
        if _is_jump(word[0]):
            to = at + 1 + struct.unpack_from("<h", word, 2)[0]
            struct.pack_into("<h", word, 2, moved(to) - moved(at) - 1)
        changed += word
        at += size
    return bytes(changed)


def run_on(code: bytes) -> list[int]:
    """Return the instructions from which a loop runs on into its head; visits them in the verifier's order."""
    found: list[int] = []
    in_progress, done = 1, 2
    state = {0: in_progress}
    stack = [(0, _edges(code, 0))]
    while stack:
        at, rest = stack[-1]
        for to, jumps in rest:
            if to not in state:
                state[to] = in_progress
                stack.append((to, _edges(code, to)))
                break
            if state[to] == in_progress and not jumps:
                found.append(at)
        else:
            state[at] = done
            stack.pop()
    return found


def _is_jump(operation: int) -> bool:
    return operation & 7 in _JUMPS and operation not in (_CALL, _EXIT)


def _edges(code: bytes, at: int) -> Iterator[tuple[int, bool]]:
    """Return where an instruction leads, and whether by a jump (running on from a condition counts as one)."""
    operation, offset = struct.unpack_from("<Bxh", code, at * _BYTES)
    if operation == _EXIT:
        return iter(())
    if operation == _JUMP:
        return iter([(at + 1 + offset, True)])
    if _is_jump(operation):
        return iter([(at + 1, True), (at + 1 + offset, True)])
    return iter([(at + 2 if operation == _LOAD64 else at + 1, False)])
