"""What a bench gives back, and the one table that shows it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Row", "log", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    added: str = ""
    """What the tracer adds, where something is measured with and without it."""
    ratio: str = ""
    """`added` divided by what others add."""
    goal: str = ""
    met: bool | None = None
    """Whether the goal is met; None where there is none."""

    @classmethod
    def judged(cls, what: str, value: float, limit: float, unit: str, *, most: bool = True, digits: int = 2) -> Row:
        """Return a line with a goal: at most (or at least) `limit`."""
        return cls(
            what=what,
            measured=f"{value:,.{digits}f} {unit}",
            goal=f"{'≤' if most else '≥'} {limit:,.{digits}f} {unit}",
            met=value <= limit if most else value >= limit,
        )


def log(text: str) -> None:
    """Say on the error stream what is being done."""
    print(f"    {text}", file=sys.stderr, flush=True)


def table(sections: Iterable[tuple[str, Iterable[Row]]]) -> str:
    """Return all rows as aligned text, under a heading for each bench."""
    names = tuple(f.name for f in dataclasses.fields(Row))
    head = ("", "measured", "added", "÷ others", "goal", "")
    lines: list[tuple[str, ...]] = []
    for title, rows in sections:
        lines.append((title,))
        for row in rows:
            cells = [getattr(row, n) for n in names[:-1]]
            lines.append((f"  {cells[0]}", *cells[1:], "" if row.met is None else "ok" if row.met else "MISSED"))
    full = [line for line in (head, *lines) if len(line) > 1]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    out = []
    for line in (head, *lines):
        if len(line) == 1:
            out += ["", line[0]]
        else:
            cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:5], widths[1:5], strict=True))]
            out.append("  ".join([*cells, line[5]]).rstrip())
    return "\n".join(out)
