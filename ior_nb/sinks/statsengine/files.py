"""`Files`: sums by file, rolled up to directories."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb import aggregate
from ior_nb.aggregate import Reading
from ior_nb.runtime import Recoder, StringTable
from ior_nb.runtime.batch import distinct
from ior_nb.runtime.index import grown, once, rows_of
from ior_nb.runtime.peers import peer_of
from ior_nb.sinks.statsengine.activity import FROM_SOURCE, MAXIMA, RARE, SUMS, add
from ior_nb.sinks.statsengine.table import OVERFLOW, Table

__all__ = ["NO_FILE", "Files", "directory_of", "roll_up"]

NO_FILE: Final = 1
"""The entry of calls without a file, and of their directory."""
_SPARE: Final = 1024


def directory_of(path: str) -> str:
    """Return the text before the last slash; `/` at the top, `.` without a slash and of sockets. Nothing is cleaned."""
    return "." if path[:1] != "/" and peer_of(path) else aggregate.directory_of(path)


class Files:
    """Files by string code, and for each directory the sums of its files that were folded.

    Args:
        files, directories: how many are kept apart.

    Attributes:
        paths: the codes of files, whatever tables they come with.
    """

    def __init__(self, files: int, directories: int) -> None:
        self.paths = Recoder()
        self._room = 2 * (files + directories) + _SPARE
        self.table = Table(SUMS, maxima=MAXIMA, marks=("directory",), limit=files, pinned=0)
        self.directories = Table((*SUMS, "files"), maxima=MAXIMA, limit=directories, pinned=0)
        self.directory_names = StringTable()
        self._directory_of = np.full(1024, -1, np.int64)  # by string code of the file
        self._known = np.zeros(0, np.intp)  # entries by code of a table of paths; `OVERFLOW` for those not asked for
        self._known_of: tuple[StringTable | None, int] = None, 0  # that table, and folds of ours
        self.table.on_fold = self._keep_directories
        self.directories.rank = lambda: self.rolled_up()["count"]

    def add(self, reading: Reading) -> None:
        """Add a batch."""
        paths, sources = reading.batch.tables["file"], reading.sources if reading.moves else None
        if len(self.paths.own) > self._room:
            self._forget_strings()
        entries = self._entries(reading.files, paths)
        add(self.table, entries, reading, read=sources is None)
        if sources is not None:
            for name, some in zip(FROM_SOURCE, (reading.moved.read, reading.fetched), strict=True):
                if len(some.rows):
                    self.table.add(name, self._entries(sources[some.rows], paths), some.values)

    def _forget_strings(self) -> None:
        """Drop the names of files and directories that have no entry any more."""
        files, directories = self.table, self.directories
        codes = self.paths.keep(np.maximum(files.codes[: files.used], 0))
        files.recode(codes)
        self._directory_of = np.full(1024, -1, np.int64)
        columns, used = files.columns["directory"], directories.codes[: directories.used]
        kept = np.unique(np.concatenate([columns[: files.used], np.maximum(used, 0)]))
        names = StringTable()
        new = np.zeros(len(self.directory_names), np.int64)
        new[kept] = names.intern_many(self.directory_names.at(kept))
        self.directory_names = names
        columns[: files.used] = new[columns[: files.used]]
        directories.recode(new[np.maximum(used, 0)])

    def _entries(self, codes: np.ndarray, paths: StringTable) -> np.ndarray:
        """Return the entry of each code of a table of paths: one look-up where they are known."""
        self._know(paths)
        found = self._known.take(codes)
        if found.min(initial=NO_FILE) == OVERFLOW:
            new = once(codes[rows_of(found == OVERFLOW)], self._known)
            self._known[new] = self._open(self.paths.codes(new, paths))
            if self._know(paths):
                used, _ = distinct(codes, len(paths))
                self._known[used] = self.table.find_all(self.paths.codes(used, paths))
            found = self._known.take(codes)
        return found

    def _know(self, paths: StringTable) -> bool:
        """Make room for the codes of a table; return whether the entries that were known are others by now."""
        others = self._known_of != (paths, self.table.folds)
        if others:
            self._known_of = paths, self.table.folds
            self._known = np.zeros(0, np.intp)
        self._known = grown(self._known, len(paths))
        return others

    def _open(self, codes: np.ndarray) -> np.ndarray:
        """Return the entry of each of our own codes."""
        entries = self.table.entries(codes)
        fresh = self.table.fresh
        if len(fresh):
            codes = self.table.codes[fresh]
            top = int(codes.max()) + 1
            if top > len(self._directory_of):
                more = np.full(max(top, 2 * len(self._directory_of)) - len(self._directory_of), -1, np.int64)
                self._directory_of = np.concatenate([self._directory_of, more])
            new = codes[self._directory_of.take(codes) < 0]
            if len(new):
                names = list(map(directory_of, self.paths.own.at(new)))
                self._directory_of[new] = self.directory_names.intern_many(names)
            directories = self._directory_of.take(codes)
            self.table.columns["directory"][fresh] = directories
            self.directories.entries(directories)
        return entries

    def _keep_directories(self, dropped: np.ndarray) -> None:
        columns = self.table.columns
        entries = self.directories.entries(columns["directory"][dropped])
        for name in SUMS:
            self.directories.add(name, entries, columns[name][dropped])
        self.directories.raise_to("max", entries, columns["max"][dropped])
        self.directories.add("files", entries, 1)

    def directory_entries(self) -> np.ndarray:
        """Return the directory's entry of each file: int64, shape (files used,)."""
        found = self.directories.find_all(self.table.columns["directory"][: self.table.used])
        found[OVERFLOW] = OVERFLOW
        return found

    def rolled_up(self) -> dict[str, np.ndarray]:
        """Return the sums of all files of each directory."""
        base = {name: column[: self.directories.used].copy() for name, column in self.directories.columns.items()}
        columns = {name: self.table.columns[name][: self.table.used] for name in SUMS + MAXIMA}
        return roll_up(base, columns, self.directory_entries())


def roll_up(
    base: dict[str, np.ndarray], columns: dict[str, np.ndarray], directories: np.ndarray
) -> dict[str, np.ndarray]:
    """Add files to their directories.

    Args:
        base: columns of the directories, changed in place.
        columns: columns of the files.
        directories: the directory's entry of each file.
    """
    for name in SUMS:
        if name in RARE:
            some = rows_of(columns[name])
            np.add.at(base[name], directories[some], columns[name][some])
        else:
            np.add.at(base[name], directories, columns[name])
    np.maximum.at(base["max"], directories, columns["max"])
    np.add.at(base["files"], directories[1:], 1)
    return base
