"""What leaves the program: one module a format, with a function from an `EventBatch` to the parts of a file.

`arrow` and `pandas` give tables in memory; the formats of `EXPORTERS` are files, written by `export`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ior_nb.errors import ConfigError
from ior_nb.export.about import About
from ior_nb.export.target import checked_path, write

if TYPE_CHECKING:
    from ior_nb.runtime.rows import Rows

__all__ = ["EXPORTERS", "About", "Exporter", "chosen", "export", "format_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """A file format."""

    home: str
    """`module:function`. The function takes rows, an `About` and options of its own, and yields bytes."""
    extension: str
    """Appended to names that lack it; names that end in it are of this format."""
    at_once: bool = False
    """Whether it takes all rows as one `EventBatch`; else `runtime.rows.Rows`, which it reads piece by piece."""
    also: tuple[str, ...] = ()
    """Other endings by which the format is recognised."""
    doc: str
    """What it is for, in one line."""

    def function(self) -> Callable[..., Iterable[bytes]]:
        """Import the function."""
        module, _, name = self.home.partition(":")
        function: Callable[..., Iterable[bytes]] = getattr(importlib.import_module(module), name)
        return function


# To add a format:
#
# 1. Write a module beside this one with a function `name(rows, about, *, options...)` that yields the file's bytes, or
#    returns them in parts. It reads the rows piece by piece, or says `at_once=True` below. No Python statement per
#    event; traced text is escaped by the rules of the format.
# 2. Give it a row here. Name, extension, completion and the line in the help come from the row.
# 3. Add its counts to tests/export/test_export.py, read back by a parser that is not ours.
EXPORTERS: Final[dict[str, Exporter]] = {
    "csv": Exporter(
        home="ior_nb.export.csv:csv",
        extension=".csv",
        doc="comma-separated values, the 22 columns of the stream export of ior",
    ),
    "arrow": Exporter(
        home="ior_nb.export.arrowfile:arrowfile",
        extension=".arrow",
        at_once=True,
        also=(".feather",),
        doc="Arrow IPC file with every column, for pandas, Polars, DuckDB, R",
    ),
    "folded": Exporter(
        home="ior_nb.export.folded:folded",
        extension=".folded",
        also=(".collapsed",),
        doc="collapsed stacks, one line each, for flamegraph.pl, inferno, speedscope",
    ),
    "speedscope": Exporter(
        home="ior_nb.export.speedscope:speedscope",
        extension=".speedscope.json",
        doc="stacks for speedscope, one profile per metric",
    ),
    "perfetto": Exporter(
        home="ior_nb.export.perfetto:perfetto",
        extension=".trace.json",
        at_once=True,
        also=(".perfetto.json",),
        doc="Chrome trace events for Perfetto and chrome://tracing: a lane per thread, a slice per call",
    ),
    "html": Exporter(
        home="ior_nb.export.html:html",
        extension=".html",
        also=(".htm",),
        doc="a report in one file that needs no network: flame graph, charts, tables",
    ),
    "parquet": Exporter(
        home="ior_nb.export.parquetfile:parquetfile",
        extension=".parquet",
        doc="a recording: every column, and what ior_nb.load needs to make it a trace again",
    ),
}


def format_of(target: str | os.PathLike[str]) -> str | None:
    """Return the name of the format a file name ends in, None when it is none of ours."""
    text = os.fspath(target).lower()
    endings = [(end, name) for name, row in EXPORTERS.items() for end in (row.extension, *row.also)]
    return max(((len(end), name) for end, name in endings if text.endswith(end)), default=(0, None))[1]


def chosen(target: str | os.PathLike[str], format: str | None = None) -> tuple[str, bool]:  # noqa: A002
    """Return the name of the format of an export, and whether that is all that was said.

    Raises:
        ConfigError: there is no such format.
    """
    named = isinstance(target, str) and target in EXPORTERS and format in (None, target)
    name = format or (str(target) if named else format_of(target))
    if name not in EXPORTERS:
        seen = f"no format {name!r}" if name else f"the name {os.fspath(target)!r} ends in none of ours"
        raise ConfigError(
            f"cannot export: {seen}; choose a format from {', '.join(EXPORTERS)}, "
            f"or an ending from {', '.join(row.extension for row in EXPORTERS.values())}"
        )
    return name, named


def export(
    rows: Rows,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 -- the word users look for
    about: About | None = None,
    **options: Any,
) -> Path:
    """Write the rows to a file.

    Args:
        rows: the rows; one `EventBatch` where the format takes all at once.
        target: a path, or the name of a format: then the file is `ior-FORMAT-DATE-TIME` in the working directory, and
            never replaces another. A path that is given replaces what is there.
        format: a name of `EXPORTERS`; by default what the path ends in.
        about: heading of the file.
        **options: of the format, such as `metric="bytes"` for folded stacks.

    Returns:
        The path of the file.

    Raises:
        ConfigError: no such format or option; nothing was written.
        RecordingError: the file cannot be written.
    """
    name, named = chosen(target, format)
    row = EXPORTERS[name]
    function = row.function()
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ConfigError(f"the format {name} has no option {option!r}; it has {', '.join(known) or 'none'}")
    wanted = f"ior-{name}-{time.strftime('%Y%m%d-%H%M%S')}{row.extension}" if named else target
    ending = next((e for e in (row.extension, *row.also) if os.fspath(wanted).lower().endswith(e)), row.extension)
    path = checked_path(wanted, ending)
    return write(path, function(rows, about or About(), **options), replace=not named)
