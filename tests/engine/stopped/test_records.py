"""Calls become records; here, what is told of tasks in another order than it happened."""

from __future__ import annotations

from ior_nb.engine.stopped.records import Records, Scope
from ior_nb.engine.stopped.source import Birth, Block, Calls, Change

GONE = (1 << 22) + 1
"""No task has this number."""


def test_a_program_that_is_told_before_the_birth_of_its_task_stays() -> None:
    """A child may execute a program before its maker stops and tells of it: it keeps the program's name."""
    records = Records(Scope(pids=frozenset({7})), {7: 1}, (), {})
    records.make(Block(Calls(0), execs=[Change(0, GONE, b"/bin/true")]))
    records.make(Block(Calls(0), born={GONE: Birth(7, False)}))

    assert records.tasks.comms[GONE] == b"true"
