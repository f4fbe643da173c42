"""Folded (collapsed) stacks: one line a stack, frames joined by `;`, one blank, the weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ior_nb.export.about import About
from ior_nb.export.stacks import DEFAULT_FIELDS, metric_name, one_line, stacks
from ior_nb.runtime import EventBatch

__all__ = ["folded"]


def folded(
    batch: EventBatch, about: About, *, fields: str | Sequence[str] = DEFAULT_FIELDS, metric: str = "count"
) -> Iterator[bytes]:
    r"""Yield the lines, sorted by stack in byte order; stacks that weigh nothing are left out.

    Characters that end a line, or a frame, are written as escapes (`\x0a`, `\x3b`): no traced name forges one.

    Args:
        batch: the rows.
        about: not part of the format.
        fields: what the frames are, root first: comm, syscall, path, file, family, pid, tid, cell, flags.
        metric: what the numbers are: count, duration, bytes or gap.

    Raises:
        ConfigError: an unknown field or metric.
    """
    found = stacks(batch, fields, [metric])
    weights = found.weights[metric_name(metric)].tolist()
    lines = [f"{one_line(frames)} {weight}\n" for frames, weight in zip(found.frames, weights, strict=True) if weight]
    yield "".join(lines).encode()
