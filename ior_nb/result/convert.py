"""Recordings written anew as recordings of today: many as few, sorted by time, those of older programs too."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ior_nb.aggregate import added, counted, ended
from ior_nb.errors import ConfigError, IorWarning, RecordingError
from ior_nb.export.arrow import Columns, columns, schema
from ior_nb.real import Descriptor
from ior_nb.result.bytime import by_time
from ior_nb.result.load import of_recordings, opened
from ior_nb.result.stored import Stored, foreign_types
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, EventBatch, own, progress
from ior_nb.runtime.completeness import COUNTED
from ior_nb.runtime.rows import grouped, read
from ior_nb.runtime.text import printable
from ior_nb.sinks.parquet import Chain, Recording, link
from ior_nb.sinks.parquet.files import ROWS_PER_FILE, left_out
from ior_nb.sinks.parquet.target import Target

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Converted", "convert"]

_GROUP: Final = 262_144
"""Rows of a row group, as a recorder writes them."""
_USER: Final = 4
"""Frames from a warning to who called `convert`."""
_OURS: Final = re.compile(r"ior_nb\.|ARROW:schema$|pandas$")


class Converted(NamedTuple):
    """A file that was written."""

    path: Path
    rows: int


@own.ours
@progress.told("convert")
def convert(
    recordings: str | Path | Iterable[str | Path],
    target: str | Path,
    *,
    sort: bool = False,
    rows_per_file: int = ROWS_PER_FILE,
) -> list[Converted]:
    """Write recordings anew, in the format of today: every column of ours, and those that are not ours.

        ior_nb.convert("many-small-files/", "fleet/", sort=True)     # a few files for each machine
        ior_nb.convert("trace-of-ior.parquet", "today.parquet")

    Rows stand in the order of `ior_nb.load`, or by time, and where that is not the order of a single recording they are
    numbered anew. What the footers say of completeness, cells and clocks is kept. Memory is needed for half a million
    rows, and to sort for some thousands more of each half million that overlap in time; then the target's folder has to
    have room for four times what the recordings take, meanwhile.

    Args:
        recordings: a file, a pattern, a folder, or several of these; ours, what a crash left, or those of `ior`.
        target: a file, `x.parquet`, in which all machines are on one time axis; or a folder, which is made, of files
            `MACHINE.parquet`, each with the machine's own clock; `MACHINE-2.parquet` and so on where it has more rows.
        sort: by the time at which calls began, so that readers skip what a question of some seconds does not need.
        rows_per_file: in a folder, a file has no more rows.

    Returns:
        The files, each with its number of rows. A recording in a folder that has no end is left out, with a warning.

    Raises:
        RecordingError: a recording cannot be read, or none can be written there; no file is left half.
        ConfigError: the target is a folder that has recordings already, or no row is wanted in a file.
    """
    if rows_per_file < 1:
        raise ConfigError(f"rows_per_file={rows_per_file}: a file has at least one row")
    path = Path(target).expanduser()
    recordings = recordings if isinstance(recordings, str | Path) else list(recordings)
    found = opened(recordings)
    for told in left_out(recordings):
        warnings.warn(told, IorWarning, stacklevel=_USER)
    if path.name.lower().endswith(".parquet") and not path.is_dir():
        return list(_written(of_recordings(found), path, sort=sort, most=None))
    _check_folder(path)
    named: dict[str, list[Recording]] = {}
    for recording in found:
        named.setdefault(_file_name(recording.host), []).append(recording)
    files: list[Converted] = []
    for name, those in sorted(named.items()):
        files += _written(of_recordings(those), path / f"{name}.parquet", sort=sort, most=rows_per_file)
    return files


def _check_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        there = next(path.rglob("*.parquet"), None)
    except OSError as error:
        raise RecordingError(
            f"cannot convert to {printable(str(path))}: {error.strerror}. Choose another folder."
        ) from error
    if there is not None:
        raise ConfigError(
            f"cannot convert to {printable(str(path))}: it has recordings already ({printable(there.name)}), and a "
            "folder is loaded as a whole, so rows would be there twice. Choose a new folder."
        )


def _file_name(host: str) -> str:
    return re.sub(r"[^\w.-]|^\.", "_", host)[:100] or "recording"


def _written(trace: Trace, path: Path, *, sort: bool, most: int | None) -> Iterator[Converted]:
    """Write the rows of a trace, and yield the files."""
    rows = trace.rows
    assert isinstance(rows, Stored)
    if rows.told:
        raise RecordingError(f"cannot put the recordings together: {rows.told[0]}; rename it in one of them.")
    wanted = schema(foreign_types(rows))
    host = trace.origin.get("ior_nb.hostname", "")
    batches = read(rows)
    if sort:
        batches = _numbered(by_time(batches, wanted, path.parent))
    groups = grouped(batches, min(_GROUP, most or _GROUP))
    rest = _Rest(trace, several=most is not None and len(trace) > most)
    kept = _common_pairs(rows.recordings)
    if overlaps := rows.overlaps():
        kept["ior_nb.overlaps"] = json.dumps(overlaps)
    group = next(groups, None)
    for number in itertools.count(1):
        name = path if number == 1 else path.with_name(f"{path.stem}-{number}.parquet")
        with _File(name, wanted) as file:
            while group is not None and (most is None or file.rows + len(group) <= most or not file.rows):
                file.append(columns([group], host=host, wanted=wanted))
                rest.count(group)
                group = next(groups, None)
            file.finish(kept | rest.metadata(last=group is None))
            yield Converted(file.path, file.rows)
        if group is None:
            return


def _numbered(batches: Iterable[EventBatch]) -> Iterator[EventBatch]:
    before = 1
    for batch in batches:
        yield batch.with_columns(seq=np.arange(before, before + len(batch), dtype=np.uint64))
        before += len(batch)


def _common_pairs(recordings: Iterable[Recording]) -> dict[str, str]:
    """Return what all footers say alike and is not ours to say."""
    footers = [recording.metadata for recording in recordings]
    return {k: v for k, v in footers[0].items() if not _OURS.match(k) and all(f.get(k) == v for f in footers)}


class _File:
    """A recording on its way to its name; what ends early is no file."""

    def __init__(self, path: Path, wanted: pa.Schema) -> None:
        self._target = Target(path, generated=False)
        self.path = self._target.path
        self._wanted = wanted
        self._file = Descriptor(self._target.create(), self._target.temporary)
        try:
            self._chain = Chain(self._file, link(columns([], wanted=wanted)))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._target.discard()

    @property
    def rows(self) -> int:
        """Those it has by now."""
        return self._chain.rows

    def append(self, rows: Columns) -> None:
        """Write a row group."""
        with self._writing():
            self._chain.append(link(rows))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the footer, and give the file its name."""
        pairs = {k.encode(errors="backslashreplace"): v.encode(errors="backslashreplace") for k, v in metadata.items()}
        with self._writing():
            self._chain.finish(link(columns([], wanted=self._wanted), pairs))
            self.path = self._target.publish()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except RecordingError:
            raise
        except OSError as error:
            raise RecordingError(
                f"cannot write {printable(str(self.path))}: {error.strerror or error}. Nothing of it was left."
            ) from error


class _Rest:
    """What of a trace's books is in no file yet: each file has those of its own rows, the last one all that is left.

    Args:
        trace: the trace, which is ours alone.
        several: whether there will be more than one file.
    """

    def __init__(self, trace: Trace, *, several: bool) -> None:
        self._trace, self._several = trace, several
        self._books = trace.accounting
        self._counters = dict(trace.counters)
        self._done = self._flying = 0
        self._counted: dict[str, dict[str, int]] = {}

    def count(self, rows: EventBatch) -> None:
        """Take in rows of the file that is being written."""
        if self._several:
            done, flying = ended(rows)
            self._done, self._flying = self._done + done, self._flying + flying
            if self._counters:
                self._counted = added(self._counted, counted(rows))

    def metadata(self, *, last: bool) -> dict[str, str]:
        """Return what the footer of that file says, and begin with the next."""
        done, flying, trace = self._done, self._flying, self._trace
        if last:
            trace.accounting, trace.counters = self._books, self._counters
            return trace.metadata()
        pages, trace.pages = trace.pages, {}
        trace.accounting = Accounting(seen=done + flying, emitted=done, in_flight=flying)
        trace.counters = self._counted
        pairs = trace.metadata()
        trace.pages = pages
        books = self._books
        self._books = replace(
            books, seen=books.seen - done - flying, emitted=books.emitted - done, in_flight=books.in_flight - flying
        )
        self._counters = {
            name: {measure: max(row[measure] - self._counted.get(name, {}).get(measure, 0), 0) for measure in COUNTED}
            for name, row in self._counters.items()
        }
        self._done, self._flying, self._counted = 0, 0, {}
        return pairs
