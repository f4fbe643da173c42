"""What each traced cell did, in a line: from a trace of its own, or from a trace that goes on over many cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ior_nb.aggregate import amount, moved
from ior_nb.runtime.clock import FOR_EVER
from ior_nb.runtime.text import show_bytes, show_ns

if TYPE_CHECKING:
    from ior_nb.result.trace import Trace

__all__ = ["CellLine", "as_text", "of_trace", "within"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLine:
    """One traced cell."""

    number: int
    counted: bool = True
    """Whether it is known which calls were its own."""
    calls: int = 0
    errors: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    fetched: int = -1
    """Bytes devices were made to read; -1 where nobody counted."""
    took_ns: int = 0
    completeness: str = ""


def of_trace(number: int, trace: Trace) -> CellLine:
    """Return the line of a cell that has a trace of its own."""
    found = trace.summary()
    return CellLine(
        number=number,
        calls=found.calls,
        errors=found.errors,
        bytes_read=found.bytes_read,
        bytes_written=found.bytes_written,
        fetched=found.spending.fetched,
        took_ns=round(found.duration_s * 1e9),
        completeness=found.completeness.told() or "complete",
    )


def within(trace: Trace, ran: Iterable[tuple[int, int, int]], completeness: str) -> dict[int, CellLine]:
    """Return the lines of the cells that ran to their end while a trace was on, those without a call too.

    Args:
        trace: the trace; it may still be on.
        ran: execution count, begin and end of cells, as `TracerSession.cells` has them.
        completeness: what is known of the whole trace: nobody can say of which cell a lost call was.
    """
    begin = trace.window[0]
    until = trace.window[1] if trace.finished else FOR_EVER
    lines: dict[int, CellLine] = {}
    for number, start, end in ran:
        if begin <= start < until and end != FOR_EVER:
            took = lines[number].took_ns if number in lines else 0
            lines[number] = CellLine(number=number, took_ns=took + end - start, completeness=completeness)
    if not trace.keeps_rows:
        said = f"its calls are not known, for the rows were not kept; {completeness}"
        return {number: replace(line, counted=False, completeness=said) for number, line in lines.items()}
    for batch in trace.batches("cell", "syscall", "bytes", "is_error", "probe", "fetched_bytes"):
        read, written = moved(batch)
        cells, at = np.unique(batch["cell"], return_inverse=True)
        columns = [np.ones(len(batch), np.int64), batch.failed.astype(np.int64), read, written]
        columns += [amount(batch, "fetched_bytes"), (batch["fetched_bytes"] >= 0).astype(np.int64)]
        sums = [np.zeros(len(cells), np.int64) for _ in columns]
        for total, values in zip(sums, columns, strict=True):
            np.add.at(total, at, values)
        for number, calls, errors, got, put, fetched, counted in zip(
            cells.tolist(), *(s.tolist() for s in sums), strict=True
        ):
            if number in lines:
                line = lines[number]
                lines[number] = replace(
                    line,
                    calls=line.calls + calls,
                    errors=line.errors + errors,
                    bytes_read=line.bytes_read + got,
                    bytes_written=line.bytes_written + put,
                    fetched=max(line.fetched, 0) + fetched if counted else line.fetched,
                )
    return lines


def as_text(lines: Iterable[CellLine]) -> str:
    """Return the lines as a table, by number."""
    head = f"{'cell':>5} {'calls':>12} {'read':>11} {'fetched':>11} {'written':>11}"
    rows = [f"{head} {'errors':>8} {'took':>9}  completeness"]
    for line in sorted(lines, key=lambda line: line.number):
        fetched = show_bytes(line.fetched) if line.fetched >= 0 else "?"
        cells = [f"{line.calls:,}", show_bytes(line.bytes_read), fetched, show_bytes(line.bytes_written)]
        cells = [*cells, f"{line.errors:,}"] if line.counted else ["?"] * 5
        shown = " ".join(text.rjust(width) for text, width in zip(cells, (12, 11, 11, 11, 8), strict=True))
        rows.append(f"{line.number:>5} {shown} {show_ns(line.took_ns):>9}  {line.completeness}")
    return "\n".join(rows)
