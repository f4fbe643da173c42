"""Folded (collapsed) stacks: one line a stack, frames joined by `;`, one blank, the weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ior_nb.export.about import About
from ior_nb.export.stacks import DEFAULT_FIELDS, metric_name, one_line, stacks
from ior_nb.runtime.rows import Rows

__all__ = ["folded"]


def folded(
    rows: Rows, about: About, *, fields: str | Sequence[str] = DEFAULT_FIELDS, metric: str = "count"
) -> Iterator[bytes]:
    r"""Yield the lines, sorted by stack in byte order; stacks that weigh nothing are left out.

    Control characters, and what ends a frame, are written as escapes (`\x0a`, `\x3b`): no traced name forges a line,
    or breaks the XML that a flame graph is. Calls that were counted and are no rows are stacks of their own; what the
    rows lack is said by a first stack that weighs nothing.

    Args:
        rows: the rows.
        about: what the rows lack.
        fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, label, python, func,
            flags, host.
        metric: what the numbers are: a name of `METRICS`.

    Raises:
        ConfigError: an unknown field or metric.
    """
    found = stacks(rows, fields, [metric], about.unrecorded)
    weights = found.weights[metric_name(metric)].tolist()
    lines = [f"{one_line(frames)} {weight}\n" for frames, weight in zip(found.frames, weights, strict=True) if weight]
    if about.told:
        told = about.told.replace(";", ",")  # which would end the frame
        yield f"{one_line([f'[{told}]'])} 0\n".encode()
    yield "".join(lines).encode()
