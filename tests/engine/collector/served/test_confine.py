"""Which system calls the service gives up."""

from __future__ import annotations

import pytest

from ior_nb.engine.collector.served.confine import FORBIDDEN, program
from ior_nb.syscalls import x86_64
from ior_nb.syscalls.aarch64 import NUMBERS as ON_ARM
from ior_nb.syscalls.machine import NUMBERS

X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOWED, REFUSED, KILLED = 0x7FFF0000, 0x00050001, 0x80000000


def judged(lines: list[tuple[int, int, int, int]], architecture: int, number: int) -> int:
    """Return what a filter says of a call, as the kernel runs it."""
    at, value = 0, 0
    while True:
        code, yes, no, operand = lines[at]
        match code:
            case 0x20:
                value = {0: number, 4: architecture}[operand]
            case 0x15:
                at += yes if value == operand else no
            case 0x35:
                at += yes if value >= operand else no
            case 0x06:
                return operand
        at += 1


@pytest.mark.parametrize(
    ("machine", "architecture", "numbers"), [("x86_64", X86_64, x86_64.NUMBERS), ("aarch64", AARCH64, ON_ARM)]
)
def test_forbidden_calls_are_refused_and_no_others(machine: str, architecture: int, numbers: dict[str, int]) -> None:
    """Every number below 600 is judged as its name says."""
    forbidden = {numbers[name] for name in FORBIDDEN if name in numbers}
    lines = list(program(forbidden, machine))

    assert {n for n in range(600) if judged(lines, architecture, n) == REFUSED} == forbidden
    assert all(judged(lines, architecture, n) == ALLOWED for n in range(600) if n not in forbidden)


def test_calls_of_another_kind_do_not_get_round_it() -> None:
    """Those of 32 bits end the process, those of x32 are refused."""
    lines = list(program([59], "x86_64"))

    assert judged(lines, I386, 11) == KILLED
    assert judged(lines, X86_64, 0x40000000 | 59) == REFUSED
    assert judged(lines, X86_64, 0x40000000) == REFUSED


def test_what_tracing_takes_is_left() -> None:
    """Nothing a collector does is among them."""
    needed = "bpf perf_event_open read write openat close poll recvmsg sendmsg accept4 mmap munmap clone exit_group"

    assert not set(needed.split()) & set(FORBIDDEN)
    assert {"execve", "ptrace", "socket", "mount"} <= NUMBERS.keys() & set(FORBIDDEN)
