"""A command that is started for a trace: it waits at a gate until the tracer is in place, then executes."""

from __future__ import annotations

import contextlib
import os
import posix
import signal
import sys
import time
from collections.abc import Mapping
from typing import Final

from ior_nb import real
from ior_nb.errors import NoCommand, SourceUnavailable
from ior_nb.session.plan import Command

__all__ = ["Child", "environment"]

# A command's own process: it waits on a pipe, then executes. What Python ignores goes back to its default, an interrupt
# ends it there as it would end the command, and the environment is the one that was given, whatever Python makes of it
# in the locale C (PEP 538). While it waits, any process of the same user may take hold of it, where Yama asks
# (PR_SET_PTRACER): a tracer without BPF is none of its parents.
_TRAMPOLINE: Final = """
import os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ): signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.default_int_handler: signal.signal(signal.SIGINT, signal.SIG_DFL)
gate, path, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
try:
    with open("/proc/self/environ", "rb") as given: pairs = given.read().split(b"\\0")
    environment = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
except OSError:
    environment = dict(os.environb)
if environment.get(b"LISTEN_PID") == b"%d" % os.getppid(): environment[b"LISTEN_PID"] = b"%d" % os.getpid()
def let_trace(whom):
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as scope: asked = scope.read(1) == "1"
        if asked:
            import ctypes
            ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(whom), 0, 0, 0)
    except (OSError, ImportError): pass
let_trace(-1)
go = os.read(gate, 1)
let_trace(0)
os.close(gate)
if not go: os._exit(125)
try:
    try: os.execve(path, arguments, environment)
    except OSError as error:
        if error.errno != 8: raise
        os.execve("/bin/sh", ["sh", path, *arguments[1:]], environment)  # a script without a first line
except OSError as error:
    try: os.write(2, f"ior-nb: {path!a}: {error.strerror}\\n".encode())
    finally: os._exit(127 if error.errno == 2 else 126)
"""
_AT_ONCE_S: Final = 2.0
_GRACE_S: Final = 3.0
_LOOK_S: Final = 0.02


class Child:
    """A command, stopped just before it executes.

    Raises:
        SourceUnavailable: there is no room for it: too many processes or open files.
    """

    def __init__(self, command: Command) -> None:
        try:
            gate, self._go = os.pipe()
        except OSError as error:
            raise SourceUnavailable(_cannot(command, error)) from error
        try:
            if command.inherits:
                os.set_inheritable(gate, True)
            self._process = real.processes().Popen(
                [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(gate), command.path, *command.arguments],
                pass_fds=() if command.inherits else (gate,),
                close_fds=not command.inherits,
                cwd=command.cwd,
                env=command.env,
            )
        except BaseException as error:
            os.close(self._go)
            if isinstance(error, OSError):
                raise SourceUnavailable(_cannot(command, error)) from error
            raise
        finally:
            os.close(gate)
        self.pid: int = self._process.pid

    def release(self) -> None:
        """Let it execute."""
        go, self._go = self._go, -1
        try:
            with contextlib.suppress(BrokenPipeError):  # it was killed at the gate: `wait` has its status
                os.write(go, b"x")
        finally:
            os.close(go)

    def ended(self, seconds: float | None = None) -> bool:
        """Wait for its end; tell whether it has come in time."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:  # somebody else has waited for it
            return True
        except OSError:  # no descriptor is left
            return self._ended_without_descriptor(seconds)
        try:
            poller = real.select.poll()
            poller.register(handle, real.select.POLLIN)
            return bool(poller.poll(None if seconds is None else seconds * 1000))
        finally:
            os.close(handle)

    def _ended_without_descriptor(self, seconds: float | None) -> bool:
        if seconds is None:
            with contextlib.suppress(ChildProcessError):
                posix.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if posix.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                    return True
            except ChildProcessError:
                return True
            time.sleep(_LOOK_S)
        return False

    def wait(self) -> int | None:
        """Wait for its end; return its status, 128 + n for signal n; None where somebody else has waited for it."""
        try:
            self.ended()
        except KeyboardInterrupt:  # it is in our process group and was interrupted too
            if not self.ended(_AT_ONCE_S):
                self.kill()
            raise
        return self._status()

    def ended_early(self) -> NoCommand:
        """Return the error that says that it has ended before it could execute."""
        status = self._status() or 0
        why = f"by signal {status - 128}" if status > 128 else f"with status {status}"
        return NoCommand(f"the command was ended before it began, {why}: nothing was traced", status)

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self._process.returncode is None:  # else its number may be another's
            with contextlib.suppress(ProcessLookupError):
                posix.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        if self._go >= 0:
            os.close(self._go)  # still at the gate: it leaves on its own
            self._go = -1
        else:
            self.signal(signal.SIGTERM)
        if not self.ended(_GRACE_S):
            self.signal(signal.SIGKILL)
        self._status()

    def _status(self) -> int | None:
        code: int | None = self._process.returncode
        if code is None:
            try:
                code = os.waitstatus_to_exitcode(posix.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                self._process.returncode = 0  # else Python warns of a process that still runs
                return None
            self._process.returncode = code
        return 128 - code if code < 0 else code


def environment() -> Mapping[bytes, bytes] | None:
    """Return the environment this process was started with; None where it cannot be read."""
    try:
        with open("/proc/self/environ", "rb") as given:  # noqa: PTH123 - no more than this is needed
            pairs = given.read().split(b"\0")
    except OSError:
        return None
    return {name: value for name, sign, value in (pair.partition(b"=") for pair in pairs) if sign}


def _cannot(command: Command, error: OSError) -> str:
    return f"{command.arguments[0]} cannot be started: {error.strerror}"
