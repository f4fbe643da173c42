"""Loops that run on into their head get a jump, and every other instruction still leads where it led."""

from __future__ import annotations

import struct

from ior_nb.engine.collector.loops import closed_by_jumps, run_on


def op(code: int, off: int = 0, imm: int = 0) -> bytes:
    """One instruction."""
    return struct.pack("<BBhi", code, 0, off, imm)


MOVE, ADD, JUMP, IF, EXIT = 0xB7, 0x07, 0x05, 0x15, 0x95
LOAD64 = op(0x18) + op(0)

# 0: r0 = 0; 1: goto 4; 2: r0 += 1; 3: r0 += 2 (runs on); 4: if r0 == 9 goto 7; 5-6: load; then back to 2; 8: exit
ROTATED = op(MOVE) + op(JUMP, 2) + op(ADD, imm=1) + op(ADD, imm=2) + op(IF, 3, 9) + LOAD64 + op(JUMP, -6) + op(EXIT)


def visited(code: bytes, turns: int) -> list[int]:
    """Run it, every condition false `turns` times; return the numbers its additions name and its loads as -1."""
    seen: list[int] = []
    at = 0
    while True:
        kind, off, imm = struct.unpack_from("<Bxhi", code, 8 * at)
        if kind == EXIT:
            return seen
        if kind == ADD:
            seen.append(imm)
        if kind == 0x18:
            seen.append(-1)
            at += 1
        if kind == JUMP or (kind == IF and turns == 0):
            at += off
        elif kind == IF:
            turns -= 1
        at += 1


def test_a_loop_that_runs_on_is_found() -> None:
    """The instruction before the head is named; a loop that jumps back is none of them."""
    assert run_on(ROTATED) == [3]
    assert run_on(op(MOVE) + op(IF, 2) + op(ADD) + op(JUMP, -3) + op(EXIT)) == []


def test_it_gets_a_jump_and_does_the_same() -> None:
    """One instruction more, no loop runs on, and what is done is done in the same order."""
    changed = closed_by_jumps(ROTATED)

    assert run_on(changed) == []
    assert len(changed) == len(ROTATED) + 8
    assert [visited(changed, turns) for turns in range(4)] == [visited(ROTATED, turns) for turns in range(4)]


def test_what_is_right_is_left_alone() -> None:
    """Instructions without such a loop are returned as they are."""
    plain = op(MOVE) + op(IF, 2) + op(ADD) + op(JUMP, -3) + op(EXIT)

    assert closed_by_jumps(plain) == plain
