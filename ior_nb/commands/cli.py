"""`ior-nb`: the same session on a terminal.

Exit status: that of the traced command, 128 + n when signal n ended it; 127 or 126 when it is not there or no program;
0 without one; 2 when nothing was traced (a wrong option, missing rights) or converted; 74 instead of 0 when a recording
or the answer on stdout could not be written. The summary goes to stderr, so that the command's own output stays
untouched.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import select
import signal
import stat
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ior_nb import errors
from ior_nb.commands.options import add_convert_options, add_trace_options, converted, trace_arguments
from ior_nb.runtime.text import printable_lines
from ior_nb.version import VERSION

if TYPE_CHECKING:
    from ior_nb.result.trace import Trace
    from ior_nb.session.window import Window

__all__ = ["main"]

_NOT_WRITTEN: Final = 74  # EX_IOERR of sysexits.h
_GRACE_S: Final = 2.0
_OF_THE_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_HANDED_ON: Final = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2)


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
    tracing.add_argument(
        "--duration",
        type=float,
        metavar="S",
        help=f"end after S seconds; a command is terminated, and killed {_GRACE_S:g} s later",
    )
    tracing.add_argument("--quiet", action="store_true", help="no summary on stderr")
    tracing.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    converting = verbs.add_parser("convert", help="write recordings anew: many as few, by time, of today's columns")
    add_convert_options(converting)
    verbs.add_parser("doctor", help="what this machine offers for tracing, and what to do about what it lacks")
    verbs.add_parser("serve", help="trace for users of this machine who may not themselves; serve --help tells more")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    _keep_standard_descriptors()
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["serve"]:
        _become_service(words[1:])
    options = _parser().parse_args(words)
    if options.verb == "doctor":
        from ior_nb.doctor import diagnose, report

        findings = diagnose()
        said = _print_line(printable_lines(report(findings)), alone=True)
        return 1 if any(f.ok is False for f in findings) else 0 if said else _NOT_WRITTEN
    try:
        if options.verb == "convert":
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            with contextlib.suppress(KeyboardInterrupt):
                return 0 if _print_line(printable_lines(converted(options)), alone=True) else _NOT_WRITTEN
            _say("ior-nb: interrupted; a file that was not finished is not there")
            return 128 + signal.SIGINT
        return _trace(options)
    except errors.NoCommand as error:
        _say(f"ior-nb: {error}")
        return error.status
    except (errors.ConfigError, errors.SourceError, errors.RecordingError) as error:
        _say(f"ior-nb: {error}")
        return 2


def _become_service(words: Sequence[str]) -> NoReturn:
    """Go on as the service: a program that has loaded none of what we have, and has no threads."""
    from ior_nb.engine.collector.served.__main__ import command

    line = command(words)
    os.execv(line[0], line)


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
    warnings.simplefilter("ignore", errors.IorWarning)  # the summary says it
    received = _receive_signals(window) if command else _receive_signals()
    if command:
        window.become_wrapper()
    with window as result:
        if not command:
            if not options.quiet:
                _say(f"ior-nb: tracing {result.scope}; Ctrl-C ends it")
            _wait(received, options.duration, options.pid or options.tid)
        else:
            for number in received:  # before there was a command to hand them on to
                window.signal(number)
            if options.duration is not None and not window.command_ended(options.duration):
                window.signal(signal.SIGTERM)
                if not window.command_ended(_GRACE_S):
                    window.signal(signal.SIGKILL)
    if not options.quiet:
        _say(result.summary().text(_width()), escape=False)
    elif result.recording_error:
        _say(f"ior-nb: {result.recording_error}")
    said = _print_line(json.dumps(_as_json(result)), alone=not command) if options.json else True
    status: int = result.returncode or 0
    return status or (0 if said and not result.recording_error else _NOT_WRITTEN)


def _receive_signals(window: Window | None = None) -> list[int]:
    """Hand signals on to the command, or keep them for `_wait`; those this process was told to ignore stay ignored.

    The terminal sends its own to the command as well, which decides what they mean; we stay, to report.

    Returns:
        The signals nobody has been handed yet.
    """
    waiting: list[int] = []

    def receive(number: int, _: object) -> None:
        if number in _OF_THE_TERMINAL and window is not None:
            return
        if window is None or not window.signal(number):
            waiting.append(number)

    for number in (*_OF_THE_TERMINAL, *(_HANDED_ON if window is not None else _ENDING)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, receive)
    return waiting


def _wait(received: list[int], seconds: float | None, pid: int | None) -> None:
    """Wait for a signal, for the time to be up, or for the process to be gone; whichever comes first."""
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while not received and (left := deadline - time.monotonic()) > 0:
        if pid is not None and _is_gone(pid):
            return
        time.sleep(min(left, 0.1))


def _is_gone(tid: int) -> bool:
    """Whether a process or thread has ended; one that nobody has waited for yet (a zombie) has."""
    try:
        stat = Path(f"/proc/{tid}/stat").read_bytes()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2 :].startswith((b"Z", b"X"))


def _as_json(result: Trace) -> dict[str, Any]:
    accounting: dict[str, Any] = result.accounting.as_dict()
    return {
        "engine": result.engine,
        "events": accounting["emitted"] + accounting["in_flight"],
        "completeness": result.completeness.line(),
        "caveats": list(result.caveats),
        "accounting": accounting,
        "duration_s": result.duration_s,
        "recording": str(result.recording) if result.recording else None,
        "recording_error": result.recording_error or None,
        "returncode": result.returncode,
        "counters": result.counters,
    }


# ---- the terminal, or what stands in its place


def _keep_standard_descriptors() -> None:
    """Let no file of ours take the number of a standard stream that was closed; a command finds it closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest free number; closed when a command is executed


def _say(text: str, *, escape: bool = True) -> None:
    """Write to standard error. Where that cannot be it is no reason for another exit status than the command's."""
    if escape:  # names of files and commands are in it
        text = printable_lines(text)
    _write(2, text + "\n")


def _print_line(text: str, *, alone: bool) -> bool:
    """Write to standard output, on a line of its own; tell whether it could be written.

    Args:
        text: the line, or several.
        alone: whether nobody else has written there.
    """
    sys.stdout.flush() if sys.stdout is not None else None
    if _write(1, ("" if alone or _begins_a_line() else "\n") + text + "\n"):
        return True
    _say("ior-nb: the result cannot be written to standard output")
    return False


def _begins_a_line() -> bool:
    """Whether what was written to standard output ends a line; of a pipe or a terminal nobody can tell."""
    try:
        status, flags = os.fstat(1), fcntl.fcntl(1, fcntl.F_GETFL)
        if not stat.S_ISREG(status.st_mode):
            return False
        end = status.st_size if flags & os.O_APPEND else os.lseek(1, 0, os.SEEK_CUR)
        with open("/proc/self/fd/1", "rb") as file:  # noqa: PTH123 - it may be open for writing alone
            return end == 0 or os.pread(file.fileno(), 1, end - 1) == b"\n"
    except OSError:
        return False


def _write(fd: int, text: str) -> bool:
    rest = text.encode(errors="backslashreplace")
    try:
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:  # a command may have left it so
                select.select([], [fd], [])
    except (OSError, ValueError):
        return False
    return True


def _width() -> int:
    try:
        return max(60, os.get_terminal_size(2).columns)
    except OSError:
        return 110
