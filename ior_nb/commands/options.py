"""The options of a trace, for argparse: one table serves `%%ior`, `%ior start` and `ior-nb trace`."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from ior_nb.engine import ENGINES
from ior_nb.errors import ConfigError, IorWarning
from ior_nb.globalfilter.values import seconds
from ior_nb.runtime.text import show_count
from ior_nb.session.plan import FRAMES_OF, Request
from ior_nb.sinks.parquet.files import ROWS_PER_FILE
from ior_nb.syscalls import DEFAULT_CALLS, DEFAULT_FAMILIES

__all__ = [
    "add_convert_options",
    "add_lines_options",
    "add_load_options",
    "add_trace_options",
    "converted",
    "load_arguments",
    "trace_arguments",
]


def _sampling(text: str) -> tuple[str, int]:
    name, sign, rate = text.partition("=")
    if not sign or not rate.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N (0 counts only, 1 records all, N one in N)")
    return name, int(rate)


def _mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no mode of a file, such as 640") from None


def _engines() -> str:
    rows = "; ".join(f"{name} {row.doc}" for name, row in ENGINES.items())
    tried = ", ".join(name for name, row in ENGINES.items() if row.traces)
    return f"auto (default: the first that works of {tried}), or by name: {rows}"


def add_trace_options(parser: argparse.ArgumentParser, *, rows: bool = True) -> None:
    """Add the options all traces share; `rows`: whether rows can be kept in memory at all."""
    who = parser.add_argument_group("whose calls (default: this process and its children)")
    who.add_argument("--pid", type=int, metavar="N", help="a running process and its children")
    who.add_argument("--tid", type=int, metavar="N", help="one thread")
    who.add_argument("--uid", type=int, metavar="N", help="all processes of a user")
    who.add_argument("--cgroup", metavar="FOLDER", help="a version-2 control group")
    who.add_argument("--system", action="store_true", help="every process of the machine")
    who.add_argument("--no-follow", dest="follow", action="store_false", help="do not trace children")
    who.add_argument("--own", action="store_true", help="leave out children that were running before")
    usual = ", ".join(DEFAULT_FAMILIES), ", ".join(DEFAULT_CALLS)
    which = parser.add_argument_group("which calls (default: the families {}, and {})".format(*usual))
    which.add_argument("--families", metavar="A,B", help="families of system calls, or `all`")
    which.add_argument("--syscalls", metavar="A,B", help="names of system calls; alone, only these")
    which.add_argument(
        "--sample",
        dest="sampling",
        type=_sampling,
        action="append",
        default=[],
        metavar="NAME=N",
        help="one in N calls of a syscall or family becomes a row, 0 counts only; totals stay exact (repeatable)",
    )
    which.add_argument("--filter", metavar="TEXT", help="rows to keep, as in 'file~.csv and latency>=1ms'")
    how = parser.add_argument_group("how")
    how.add_argument("--engine", default="auto", metavar="NAME", help=_engines())
    if rows:
        how.add_argument(
            "--no-rows", dest="keep_rows", action="store_false", help="keep no rows in memory, only the summary"
        )
    else:
        parser.set_defaults(keep_rows=False)
    how.add_argument(
        "--stacks",
        choices=FRAMES_OF,
        help="the Python stack of every call (default: full, off for --uid, --cgroup, --system, --pid)",
    )
    how.add_argument(
        "--waits",
        action=argparse.BooleanOptionalAction,
        help="what calls wait for: a device, a lock, somebody (default: on, off for --uid, --cgroup, --system, --pid)",
    )
    how.add_argument(
        "--objects", action="store_true", help="which objects of a store http.client and aiohttp ask for (see docs)"
    )
    how.add_argument("--record", "-o", metavar="FILE.parquet", help="write a Parquet recording")
    how.add_argument(
        "--record-mode",
        type=_mode,
        metavar="MODE",
        help="who may read and write it, as 640 or 644 (default: 600, you alone)",
    )
    how.add_argument(
        "--record-command", action="store_true", help="keep the whole command line in it, not the program's name alone"
    )
    how.add_argument("--no-record-cells", dest="record_cells", action="store_false", help="keep no text of cells in it")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        try:
            return seconds(text, "the time")
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Add the recordings to load, and the options of `ior_nb.load`."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a recording, a pattern, or a folder of recordings")
    parser.add_argument("--start", type=_seconds, metavar="S", help="leave out what began before: seconds, or as 1m30s")
    parser.add_argument("--end", type=_seconds, metavar="S", help="leave out what began then or later")
    parser.add_argument("--filter", metavar="TEXT", help="rows to keep, as in 'file~.csv and latency>=1ms'")
    parser.add_argument("--no-rows", action="store_true", help="keep only the summary, of a file of any size")


def add_convert_options(parser: argparse.ArgumentParser) -> None:
    """Add the recordings to write anew, and how."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a recording, a pattern, or a folder of recordings")
    parser.add_argument(
        "target", metavar="TARGET", help="a file x.parquet for all, or a new folder with a file for each machine"
    )
    parser.add_argument("--sort", action="store_true", help="by the time at which calls began; numbered anew")
    parser.add_argument(
        "--rows-per-file", type=int, metavar="N", help=f"of a folder, at most (default {ROWS_PER_FILE:,})"
    )


def converted(options: argparse.Namespace) -> str:
    """Convert as parsed options say, and return what was written, and what was left out, a file a line."""
    from ior_nb.result.convert import convert

    most = ROWS_PER_FILE if options.rows_per_file is None else options.rows_per_file
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", IorWarning)
        files = convert(options.paths, options.target, sort=options.sort, rows_per_file=most)
    lines = [f"wrote {file.path}: {show_count(file.rows, 'row')}" for file in files]
    return "\n".join([*lines, *(str(one.message) for one in told)])


def add_lines_options(parser: argparse.ArgumentParser) -> None:
    """Add what `%ior lines` can be asked for."""
    parser.add_argument("-f", "--file", default="", metavar="FILE", help="files whose path ends so, not the cells")
    parser.add_argument("--library", action="store_true", help="a table of the lines that made the calls themselves")


def load_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `ior_nb.load` for parsed options."""
    return {
        "path_or_glob": options.paths if len(options.paths) > 1 else options.paths[0],
        "start": options.start,
        "end": options.end,
        "filter": options.filter,
        "keep_rows": not options.no_rows,
    }


def trace_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `ior_nb.trace` for parsed options: those that are called like its keywords."""
    known = {"engine", *Request.__annotations__}
    found = {name: value for name, value in vars(options).items() if name in known}
    return found | {"sampling": dict(options.sampling)}
