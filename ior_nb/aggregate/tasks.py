"""One group per task and file, of rows that know their task, those of a cluster; also per host, or label, and file."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, objects
from ior_nb.aggregate.groups import ByText, Numbers
from ior_nb.aggregate.sums import SUMMED, Measures, measured
from ior_nb.aggregate.unrecorded import as_group
from ior_nb.errors import ConfigError
from ior_nb.runtime import EventBatch, StringTable
from ior_nb.runtime.completeness import Counters
from ior_nb.runtime.index import pairs
from ior_nb.runtime.rows import Rows, read
from ior_nb.runtime.schema import TEXT_COLUMNS

__all__ = ["tasks"]

_ALL_ROWS: Final[Counters] = {}


def tasks(rows: Rows, by: str = "task_prefix", unrecorded: Counters = _ALL_ROWS) -> Columns:
    """Return the measures of each pair of a task and a file; calls in no task, or on no file, have empty names.

    Args:
        rows: the rows.
        by: the column that says whose they are: `host` or `label`, or one that is none of ours, as `task_prefix`.
        unrecorded: calls that are no rows.

    Raises:
        ConfigError: the rows have no such column.
    """
    whose = ByText(by) if by in TEXT_COLUMNS else _ByWord(by)
    files, both, measures = ByText("file"), Numbers(), Measures()
    keys = [np.zeros((2, 0), np.intp)]
    for batch in read(rows, "file", by, *SUMMED):
        task, file = whose.of(batch), files.of(batch)
        at, first = both.of(pairs(task, file))
        keys.append(np.stack([task, file])[:, first])
        measures.add(batch, at.astype(np.intp), len(both))
    if isinstance(whose, _ByWord) and not whose.there:
        raise ConfigError(f"these rows have no column {by!r}: those of a cluster have it (ior_nb.dask.trace)")
    task, file = np.concatenate(keys, axis=1)
    columns: Columns = {by: whose.names(task), "file": files.names(file)}
    return as_group(columns | measured(measures, np.arange(len(both))), "file", unrecorded)


class _ByWord:
    """Groups of equal words in a column that is none of ours, 0 for rows without one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._names = StringTable()
        self.there = False

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the group of each row."""
        texts, which = batch.words(self._name)
        self.there = self.there or bool((batch.extras[self._name] != None).any())  # noqa: E711 - of each value
        return self._names.intern_many(texts).take(which).astype(np.intp)

    def names(self, which: np.ndarray) -> np.ndarray:
        """Return the words of groups."""
        return objects(self._names.at(which))
