"""How a collector is started, with sudo where that is needed, and how long one waits for what it does.

On the standard library alone: the doctor starts one where everything else may be missing.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ior_nb.engine.collector.rights import missing_rights

__all__ = ["BUFFER_BYTES", "IDLE_S", "NAME_RING_BYTES", "RING_BYTES", "spawn", "sudo_works", "waited"]

# What a collector is asked to load, unless told otherwise: a compiled program is kept for these sizes.
RING_BYTES: Final = 16 << 20
NAME_RING_BYTES: Final = 8 << 20
BUFFER_BYTES: Final = 512 << 20

IDLE_S: Final = 60.0
_LOOK_S: Final = 5.0
_SUDO_IDLE_S: Final = 20.0  # without an answer from a name server sudo sleeps for some of them

_ROOT: Final = Path(__file__).resolve().parents[2]
_START: Final = (
    "import sys; sys.path.insert(0, {root!r}); from ior_nb.engine.collector.__main__ import main; sys.exit(main())"
)


def spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start a collector that answers on one end of a socket pair; it ends when the other end is closed.

    Raises:
        OSError: it cannot be started.
    """
    command = [sys.executable, "-I", "-S", "-c", _START.format(root=str(_ROOT)), "--owner", str(os.getpid())]
    if missing_rights() is not None and sudo_works():
        command = ["sudo", "-n", "--", *command]
    with _without_debugger():
        return subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )


def _without_debugger() -> contextlib.AbstractContextManager[None]:
    """A debugger that is attached puts itself before every Python program one starts, which then waits for it."""
    patched: Any = sys.modules.get("_pydev_bundle.pydev_monkey")
    skip = getattr(patched, "skip_subprocess_arg_patch", None)
    return contextlib.nullcontext() if skip is None else skip()


def sudo_works() -> bool:
    """Tell whether sudo runs a command without asking."""
    if shutil.which("sudo") is None:
        return False
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(["sudo", "-n", "true"], stdin=nothing, stdout=nothing, stderr=nothing)
    except OSError:
        return False

    def ended(seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return True
        return False

    return waited(ended, process.pid, idle_s=_SUDO_IDLE_S) and process.returncode == 0


def waited(done: Callable[[float], bool], pid: int | None, *, idle_s: float = IDLE_S, most_s: float = math.inf) -> bool:
    """Wait as long as a process works on something: on an emulated or a loaded machine that takes minutes.

    Args:
        done: waits for at most so many seconds; tells whether it is done.
        pid: of the process; its children count too (sudo has one).
        idle_s: how long it may take no processor time.
        most_s: how long all of it may take.

    Returns:
        Whether it is done.
    """
    idle = spent = 0.0
    worked = -1.0
    while not done(_LOOK_S):
        now = _cpu_seconds(pid) if pid is not None else worked
        idle = idle + _LOOK_S if now == worked else 0.0
        worked = now
        spent += _LOOK_S
        if idle >= idle_s or spent >= most_s:
            return False
    return True


def _cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its children have taken so far, 0 when it is gone."""
    total = 0.0
    with contextlib.suppress(OSError, ValueError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        user, system = stat[stat.rindex(b")") + 2 :].split()[11:13]
        total = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += sum(_cpu_seconds(int(child)) for child in children)
    return total
