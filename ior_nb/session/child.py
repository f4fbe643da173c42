"""A command that is started for a trace: it waits at a gate until the tracer is in place, then executes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Final

from ior_nb.session.plan import Command

__all__ = ["Child"]

# A command's own process: it waits on a pipe, then executes. Signals Python ignores go back to their defaults first.
_TRAMPOLINE: Final = (
    "import os, signal, sys\n"
    "for s in (signal.SIGPIPE, signal.SIGXFSZ): signal.signal(s, signal.SIG_DFL)\n"
    "gate = int(sys.argv[1])\n"
    "go = os.read(gate, 1)\n"
    "os.close(gate)\n"
    "if not go: os._exit(125)\n"
    "try: os.execv(sys.argv[2], sys.argv[3:])\n"
    "except OSError as e:\n"
    "    os.write(2, ('ior-nb: %s: %s\\n' % (sys.argv[2], e.strerror)).encode()); os._exit(126)\n"
)


class Child:
    """A command, stopped just before it executes."""

    def __init__(self, command: Command) -> None:
        gate, self._go = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(gate), command.path, *command.arguments],
                pass_fds=(gate,),
                cwd=command.cwd,
                env=command.env,
            )
        except BaseException:
            os.close(self._go)
            raise
        finally:
            os.close(gate)
        self.pid = self._process.pid

    def release(self) -> None:
        """Let it execute."""
        go, self._go = self._go, -1
        try:
            with contextlib.suppress(BrokenPipeError):  # it was killed at the gate: `wait` has its status
                os.write(go, b"x")
        finally:
            os.close(go)

    def wait(self) -> int:
        """Wait for its end; return its status, 128 + n for signal n."""
        try:
            code = self._process.wait()
        except KeyboardInterrupt:  # it is in our process group and was interrupted too
            try:
                code = self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self.kill()
            raise
        return 128 - code if code < 0 else code

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it."""
        if self._go >= 0:
            os.close(self._go)  # still at the gate: it leaves on its own
            self._go = -1
        else:
            self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
