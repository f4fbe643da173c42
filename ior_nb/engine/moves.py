"""Where files are that were given other names: what is no longer where it was need not be deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import rows_of
from ior_nb.syscalls import NATIVE

__all__ = ["Moves"]

_NAMES: Final = ("rename", "renameat", "renameat2", "link", "linkat")
_NUMBERS: Final = frozenset(call.number for call in NATIVE if call.name in _NAMES)
_MOST: Final = 1 << 16


class Moves:
    """What other names files and folders were given, by the calls that were seen; a link is one, as of git's objects.

    Attributes:
        all_seen: whether every call that gives names is among those that were.
    """

    def __init__(self) -> None:
        self.all_seen = True
        self._to: dict[str, str] = {}

    def watch(self, enabled: frozenset[int], rates: Mapping[int, int], *, filtered: bool) -> None:
        """From now on these calls are seen: those that are on, sampled like that, where no filter keeps some away."""
        self.all_seen &= enabled >= _NUMBERS and all(rates.get(n, 1) == 1 for n in _NUMBERS) and not filtered

    def take(self, batch: EventBatch) -> None:
        """Take in the rows of a trace, in their order."""
        if is_one_value(batch["old_file"]):
            return
        rows = rows_of(batch["old_file"])
        named = batch.tables["syscall"].among(_NAMES).take(batch["syscall"].take(rows))
        rows = rows[named & (batch["ret"].take(rows) == 0)]
        texts = batch.tables["file"]
        self._to |= zip(texts.at(batch["old_file"].take(rows)), texts.at(batch["file"].take(rows)), strict=True)
        if len(self._to) > _MOST:
            self._to, self.all_seen = dict(list(self._to.items())[-_MOST // 2 :]), False

    def place(self, path: str) -> str:
        """Return where the file of a path is now: the path itself where it is deleted, "" where nobody knows."""
        at, been = path, set[str]()
        while at and at not in been:
            if os.path.lexists(at):
                return at
            been.add(at)
            at = self._moved(at)
        return path if self.all_seen else ""

    def _moved(self, path: str) -> str:
        """Return the last other name of the file, or of a folder it is in; empty where there is none."""
        place = path
        while place:
            if (to := self._to.get(place)) is not None:
                return to + path[len(place) :]
            place = place.rpartition("/")[0]
        return ""
