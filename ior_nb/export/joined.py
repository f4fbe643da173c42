"""Text with a line or an object per event, put together by columns: Arrow joins, Python spells distinct strings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ior_nb.export.arrow import compact
from ior_nb.runtime import EventBatch

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["decimal", "joined", "optional", "spelled"]


def spelled(batch: EventBatch, name: str, spelling: Callable[[str], str]) -> pa.Array:
    """Return a text column in the spelling of a format, which is asked once per distinct string."""
    import pyarrow as pa

    codes, texts = compact(batch[name], batch.tables[name])
    return pa.array([spelling(text) for text in texts], pa.large_string()).take(pa.array(codes))


def decimal(values: np.ndarray) -> pa.Array:
    """Return integers in decimal, booleans as true and false."""
    import pyarrow as pa

    return pa.array(np.ascontiguousarray(values)).cast(pa.large_string())


def optional(which: np.ndarray, *parts: Any) -> pa.Array:
    """Return the joined parts where `which` is true, else nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(which), _joined(parts), pa.scalar("", pa.large_string()))


def joined(parts: Sequence[Any], *, between: str = "", end: str = "") -> bytes:
    """Return the rows one after the other.

    Args:
        parts: Arrow text of one length, at least one, and strings that stand in every row.
        between: stands between any two of them.
        end: stands behind the last one.
    """
    array = _joined([*parts[:-1], _joined([parts[-1], end])] if end else parts, between)
    _, offsets, data = array.buffers()
    at = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[int(at[0]) : int(at[-1])].tobytes() if data is not None else b""


def _joined(parts: Sequence[Any], between: str = "") -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, large = pa.large_string(), list[Any]()
    for fixed, some in itertools.groupby(parts, lambda part: isinstance(part, str)):
        if fixed:  # as one, for each part is a copy a row
            large.append(pa.scalar(between.join(some), kind))
        else:
            large.extend(some)
    return pc.binary_join_element_wise(*large, pa.scalar(between, kind))
