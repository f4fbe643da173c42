"""Run inputs of a kind in a child process that is watched."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Final

from tests.fuzz.kinds import KINDS

__all__ = ["Found", "once", "run"]

_LIMIT_S: Final = 30.0
"""Of processor time: an input that takes longer hangs."""
_MEMORY: Final = 6 << 30
_MOST_PROBLEMS: Final = 5
_STATE: Final = struct.Struct("<QQQQdd")  # next input, taken, crashes, hangs, slowest, begin of the present one


@dataclass(frozen=True)
class Found:
    """What a run found."""

    inputs: int = 0
    taken: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    problems: tuple[str, ...] = field(default=())

    def __add__(self, other: Found) -> Found:
        return Found(
            self.inputs + other.inputs,
            self.taken + other.taken,
            self.crashes + other.crashes,
            self.hangs + other.hangs,
            max(self.slowest_s, other.slowest_s),
            self.problems + other.problems,
        )


class Hang(BaseException):
    """An input takes too long."""


def once(name: str, seed: int, number: int) -> bool:
    """Make one input and check it; tell whether it was taken."""
    random = Random(f"{seed} {name} {number}")
    kind = KINDS[name]
    return kind.check(kind.make(random), random)


def run(name: str, seed: int, seconds: float, inputs: int) -> Found:
    """Check inputs for some time; a process that dies is a crash, and another one goes on behind it."""
    shared = mmap.mmap(-1, _STATE.size)
    _STATE.pack_into(shared, 0, 0, 0, 0, 0, 0.0, 0.0)
    problems: list[str] = []
    end = time.monotonic() + seconds
    while True:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            _child(name, seed, end, inputs, shared, writer)
        os.close(writer)
        with os.fdopen(reader, errors="replace") as said:
            problems += [line for line in said.read().split("\0") if line]
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        number, taken, crashes, hangs, slowest, _ = _STATE.unpack_from(shared)
        if not status:
            return Found(number, taken, crashes, hangs, slowest, tuple(problems[:_MOST_PROBLEMS]))
        problems.append(f"{name}, seed {seed}, input {number}: the process died, status {status}")
        _STATE.pack_into(shared, 0, number + 1, taken, crashes + 1, hangs, slowest, 0.0)


def _child(name: str, seed: int, end: float, inputs: int, shared: mmap.mmap, writer: int) -> None:
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.signal(signal.SIGVTALRM, _hang)
        warnings.simplefilter("error")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            for problem in _checked(name, seed, end, inputs, shared):
                os.write(writer, problem.encode(errors="replace") + b"\0")
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def _checked(name: str, seed: int, end: float, inputs: int, shared: mmap.mmap) -> Iterator[str]:
    number, taken, crashes, hangs, slowest, _ = _STATE.unpack_from(shared)
    while number < inputs and time.monotonic() < end:
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, _LIMIT_S)
        try:
            taken += once(name, seed, number)
        except Hang:
            hangs += 1
            yield f"{name}, seed {seed}, input {number}: takes longer than {_LIMIT_S:.0f} s"
        except Exception as error:
            crashes += 1
            where = "".join(traceback.format_exception(error)[-3:]) if crashes <= _MOST_PROBLEMS else str(error)
            yield f"{name}, seed {seed}, input {number}: {where}"
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.process_time() - begin)
        number += 1
        _STATE.pack_into(shared, 0, number, taken, crashes, hangs, slowest, 0.0)


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang
