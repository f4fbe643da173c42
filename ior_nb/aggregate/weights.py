"""What each row adds to a metric of flame graphs, live ones and those of files."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.rows import latencies
from ior_nb.aggregate.spent import MEASURED, amount
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import repeated
from ior_nb.runtime.frames import METRICS

__all__ = ["weighed", "weights_of"]

_ONE: Final = np.ones(1, np.int64)


def weighed(metric: str) -> tuple[str, ...]:
    """Return the columns a metric of `METRICS` is made of."""
    return tuple(filter(None, (METRICS[metric].column, "state" if metric == "duration" else "")))


def weights_of(batch: EventBatch, metric: str) -> np.ndarray:
    """Return what each row adds to a metric: int64, shape (n,). A call that did not return has no duration."""
    name = METRICS[metric].column
    if not name:
        return repeated(_ONE, len(batch))
    if metric == "duration":
        return latencies(batch)[0]
    return amount(batch, name) if name in MEASURED else batch[name].view(np.int64)
