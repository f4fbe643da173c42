"""The tracer strace: how it is started, what it says of itself, how it is ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import time
from typing import Final

from ior_nb.engine.collector.__main__ import Refused
from ior_nb.engine.collector.processes import threads
from ior_nb.engine.stopped.installed import OLDEST, version_of
from ior_nb.engine.stopped.lines import Lines, with_roles, without
from ior_nb.engine.stopped.source import Block, Calls
from ior_nb.engine.stopped.tasks import SET_NAME, comm_of, tracer_of, why_not

__all__ = ["Strace", "version"]

_ROLES_WITHIN: Final = {"iovec", "msghdr", "mmsghdr", "fds_out"}
"""What is written as an array, of which all is needed."""
_ROLES_BEHIND: Final = _ROLES_WITHIN | {
    *("sleep_timespec", "timeout_timespec", "timeout_timeval", "epoll_event", "open_how", "offset_ptr", "offset2_ptr")
}
"""What is behind a pointer; all other pointers stay numbers, for each costs strace a look."""
_ATTACHED: Final = re.compile(rb"(?:[Pp]rocess |attach: ptrace\(\w+, )(\d+)(?: attached|(\)))")
"""A process is held, or (with the last group) may not be."""
_NAMING: Final = b" prctl(%#x, " % SET_NAME
_NAMED: Final = re.compile(rb"^(\d+) [^\n]*" + re.escape(_NAMING), re.MULTILINE)
_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_PATIENCE_S: Final = 20.0
_PIPE_SIZE: Final = 1031  # F_SETPIPE_SZ


class Strace:
    """One strace, and what it writes."""

    def __init__(self) -> None:
        self.program, self.version = version()
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = Lines()
        self._output = self._said = -1
        self._text = bytearray()
        self._looked = 0  # bytes of it that were looked through for names
        self._words = bytearray()

    @property
    def about(self) -> str:
        """What it is."""
        return f"strace {self.version}"

    @property
    def doing(self) -> tuple[int, int]:
        """It looks at no memory."""
        return -1, 0

    @property
    def descriptors(self) -> list[int]:
        """Where its lines come, and what it says of each new process: it waits where nobody takes that."""
        return [fd for fd in (self._output, self._said) if fd >= 0]

    def attach(self, pids: list[int], calls: frozenset[int]) -> None:
        """Start it; return when it holds every thread."""
        self._lines = Lines()
        self._text.clear()
        self._looked = 0
        self._words.clear()
        self._output, theirs = os.pipe()
        self._said, words = os.pipe()
        with contextlib.suppress(OSError):
            import fcntl

            fcntl.fcntl(theirs, _PIPE_SIZE, 1 << 20)
        command = [self.program, "-f", "-y", "-xx", "-s", "0", "-X", "raw", "-a", "1", "-e", "signal=none"]
        command += ["--pidns-translation"]  # who forks in a pid namespace of its own
        command += ["--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns"]
        command += ["-e", f"abbrev=!{with_roles(_ROLES_WITHIN)}", "-e", f"verbose={with_roles(_ROLES_BEHIND)}"]
        command += ["-e", f"trace={without(calls)}"]
        command += ["-o", "/proc/self/fd/1", *(word for pid in pids for word in ("-p", str(pid)))]
        libc = ctypes.CDLL(None)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=words,
                env={**os.environ, "LC_ALL": "C"},
                preexec_fn=lambda: libc.prctl(_DEATH_SIGNAL, signal.SIGTERM),  # noqa: PLW1509 - there is one thread
            )
        except OSError as error:
            raise Refused("SourceUnavailable", f"{self.program} cannot be started: {error.strerror}") from error
        finally:
            os.close(theirs)
            os.close(words)
        os.set_blocking(self._output, False)
        os.set_blocking(self._said, False)
        self._wait_until_attached(pids)

    def _wait_until_attached(self, pids: list[int]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        process = self._process
        assert process is not None
        missing, held = set(pids), False
        while missing and time.monotonic() < deadline and process.poll() is None:
            select.select(self.descriptors, [], [], 0.05)
            self._read()
            self._hear()
            told = [(int(m[1]), m[2] is None) for m in _ATTACHED.finditer(self._words)]
            held = (pids[0], True) in told or not threads(pids[0])
            missing -= {pid for pid, _ in told}
            missing -= {pid for pid in missing if not threads(pid)}
        if process.poll() is not None or not held:
            said = self._words.decode(errors="backslashreplace")
            self.detach()
            reason = why_not(pids[0]) or next((line for line in said.splitlines() if line.strip()), "without a word")
            kind = "PermissionDenied" if "permitted" in said or why_not(pids[0]) else "SourceUnavailable"
            raise Refused(kind, f"strace cannot hold process {pids[0]}: {reason.removeprefix('strace: ')}")

    def holds(self, pid: int) -> bool:
        """Tell whether it holds a process."""
        return self._process is not None and tracer_of(pid) == self._process.pid

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._said >= 0:
                data = os.read(self._said, 1 << 16)
                self._words += data
                if not data:
                    self._said = _closed(self._said)

    def _read(self) -> bool:
        """Read what there is; tell whether more may come."""
        try:
            while data := os.read(self._output, 1 << 20):
                self._text += data
                self._look_for_names()
        except BlockingIOError:
            return True
        return False

    def _look_for_names(self) -> None:
        """Ask at once for the names of threads that name themselves: they may be gone when the lines are understood."""
        whole = self._text.rfind(b"\n") + 1
        if self._text.find(_NAMING, self._looked, whole) >= 0:
            for found in _NAMED.finditer(self._text[self._looked : whole]):
                self._lines.name(int(found[1]), comm_of(int(found[1])))
        self._looked = max(self._looked, whole)

    def gather(self) -> int:
        """Read what there is, so that nobody waits for us; return how many bytes wait to be understood."""
        if self._output >= 0 and not self._read():
            self._output = _closed(self._output)
        self._hear()
        self._words.clear()
        return len(self._text)

    @property
    def died(self) -> str:
        """How it ended while it held somebody; empty while it has not, or there is nobody left to hold."""
        status = self._process.poll() if self._process is not None else None
        return f"strace ended by itself (status {status}); what came after is missing" if status else ""

    def take(self) -> Block:
        """Return what has happened up to now. A call is written before the program goes on."""
        self.gather()
        whole = self._text.rfind(b"\n") + 1
        if not whole:
            return Block(Calls(0))
        block = bytes(self._text[:whole])
        del self._text[:whole]
        self._looked = 0
        return self._lines.read(block, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns())

    def detach(self) -> Block:
        """Have it let everybody go."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE_S
            while process.poll() is None:
                select.select(self.descriptors, [], [], 0.01)
                self.gather()
                if time.monotonic() > deadline:
                    process.kill()
        self.gather()
        if self._text and not self._text.endswith(b"\n"):
            self._text += b" <detached ...>\n"
        block = self.take()
        for fd in self.descriptors:
            os.close(fd)
        self._output = self._said = -1
        return block

    def unended(self) -> Block:
        """Return the calls that had not ended, after `detach`."""
        return self._lines.unended()


def _closed(fd: int) -> int:
    """Close it; return that there is none."""
    os.close(fd)
    return -1


def version() -> tuple[str, str]:
    """Return the program and its version.

    Raises:
        Refused: there is none, or it is too old.
    """
    program = shutil.which("strace")
    if program is None:
        raise Refused("SourceUnavailable", "there is no strace here; install it (apt-get install strace)")
    try:
        found = version_of(program)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused("SourceUnavailable", f"{program} does not run: {error}") from error
    text = ".".join(map(str, found or ()))
    if found is None or found < OLDEST:
        seen = f"version {text}" if text else "of an unknown version"
        raise Refused("SourceUnavailable", f"{program} is {seen}; {'.'.join(map(str, OLDEST))} or newer is needed")
    return program, text
