"""The log of the service."""

from __future__ import annotations

import io

from ior_nb.engine.collector.served.audit import Audit


def test_hostile_text_stays_in_its_line() -> None:
    """Line ends, escape sequences and other scripts are escaped; no value makes a field of its own."""
    to = io.StringIO()
    Audit(to).of(uid=7, comm="a\nior-nb serve: uid=0 \x1b[2J'\u202e")("begins")

    assert to.getvalue() == 'ior-nb serve: begins uid=7 comm="a\\nior-nb serve: uid=0 \\x1b[2J\'\\u202e"\n'


def test_a_long_value_is_cut() -> None:
    """And how long it was is said."""
    to = io.StringIO()
    Audit(to)("refuses", why="x" * 10_000)

    assert len(to.getvalue()) < 400
    assert "(10002 characters)" in to.getvalue()


def test_a_flood_is_counted_not_written() -> None:
    """Nobody fills the log; how many lines are missing is in it."""
    to, now = io.StringIO(), [0.0]
    audit = Audit(to, lambda: now[0])
    for _ in range(1000):
        audit("refuses")
    now[0] = 11.0
    audit("refuses")
    lines = to.getvalue().splitlines()

    assert len(lines) == 202
    assert lines[-2] == "ior-nb serve: 800 lines more in 10 s"


def test_users_are_served_without_a_log() -> None:
    """A log nobody reads is no reason to fail."""
    to = io.StringIO()
    to.close()

    Audit(to)("begins")
