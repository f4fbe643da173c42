"""`ior-nb`: the same session on a terminal.

Exit status: that of the traced command; 0 without one; 2 when nothing was traced (a wrong option, missing rights).
The summary goes to stderr, so that the command's own output stays untouched.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ior_nb import errors
from ior_nb.commands.options import add_trace_options, trace_arguments
from ior_nb.runtime.text import printable, printable_lines
from ior_nb.version import VERSION

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """An argument parser that says what it was given without letting it act on the terminal."""

    def error(self, message: str) -> NoReturn:
        """Refuse the line."""
        super().error(printable_lines(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ior-nb", description="Trace I/O system calls with eBPF.")
    parser.add_argument("--version", action="version", version=f"ior-nb {VERSION}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    tracing = verbs.add_parser(
        "trace",
        help="trace a command, a process or the machine",
        usage="ior-nb trace [options] [--] [COMMAND ARGUMENTS...]",
    )
    add_trace_options(tracing, rows=False)
    tracing.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, the last line of stdout"
    )
    tracing.add_argument("--duration", type=float, metavar="S", help="end after S seconds")
    tracing.add_argument("--quiet", action="store_true", help="no summary on stderr")
    tracing.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    verbs.add_parser("doctor", help="what this machine offers for tracing, and what to do about what it lacks")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.verb == "doctor":
        from ior_nb.doctor import diagnose, report

        findings = diagnose()
        print(printable_lines(report(findings)))
        return 1 if any(f.ok is False for f in findings) else 0
    try:
        return _trace(options)
    except (errors.ConfigError, errors.SourceError, errors.RecordingError) as error:
        print(printable_lines(f"ior-nb: {error}"), file=sys.stderr)
        return 2


def _trace(options: argparse.Namespace) -> int:
    from ior_nb.session.tracing import trace

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if options.duration is not None and not options.duration > 0:
        raise errors.ConfigError(f"--duration {options.duration:g}: give a number of seconds above 0")
    wanted = trace_arguments(options)
    target = any((options.pid, options.tid, options.uid is not None, options.cgroup, options.system))
    if not command and not target:
        raise errors.ConfigError("nothing to trace: give a command (ior-nb trace -- CMD ARGS), --pid, or --system")
    window = trace(**wanted | {"command": command or None})
    warnings.simplefilter("ignore", errors.LostEventsWarning)  # the completeness line says it
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The terminal's interrupt reaches the command by itself; we stay to report.
        signal.signal(
            number,
            (lambda n, _: window.signal(n) if n != signal.SIGINT else None) if command else lambda n, _: ended.set(),
        )
    with window as result:
        if not command:
            if not options.quiet:
                print(printable(f"ior-nb: tracing {result.scope}; Ctrl-C ends it"), file=sys.stderr, flush=True)
            _wait(ended, options.duration, options.pid or options.tid)
        elif options.duration is not None:
            timer = threading.Timer(options.duration, window.signal, (signal.SIGTERM,))
            timer.daemon = True
            timer.start()
    if not options.quiet:
        print(result.summary().text(_width()), file=sys.stderr)
    if options.json:
        print(json.dumps(_as_json(result)), flush=True)
    return result.returncode or 0


def _wait(ended: threading.Event, seconds: float | None, pid: int | None) -> None:
    """Wait for a signal, for the time to be up, or for the process to be gone; whichever comes first."""
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not ended.wait(min(left, 0.2)):
        if pid is not None and _is_gone(pid):
            return


def _is_gone(tid: int) -> bool:
    """Whether a process or thread has ended; one that nobody has waited for yet (a zombie) has."""
    try:
        stat = Path(f"/proc/{tid}/stat").read_bytes()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2 :].startswith((b"Z", b"X"))


def _as_json(result: Any) -> dict[str, Any]:
    accounting = result.accounting.as_dict()
    return {
        "engine": result.engine,
        "events": accounting["emitted"] + accounting["in_flight"],
        "completeness": result.completeness.line(),
        "caveats": list(result.caveats),
        "accounting": accounting,
        "duration_s": result.duration_s,
        "recording": str(result.recording) if result.recording else None,
        "returncode": result.returncode,
        "counters": result.counters,
    }


def _width() -> int:
    try:
        return max(60, os.get_terminal_size(2).columns)
    except OSError:
        return 110
