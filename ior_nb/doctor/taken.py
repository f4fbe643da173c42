"""Which way `auto` takes here, and what each way would give: found out by trying, on a program of our own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ior_nb.doctor.finding import Finding
from ior_nb.engine.stopped.installed import OLDEST, version_of

__all__ = ["WAYS", "Way", "ways"]

_SEIZE: Final = 0x4206  # PTRACE_SEIZE
_YAMA: Final = "proc/sys/kernel/yama/ptrace_scope"
_STOPPED: Final = (
    "your own processes alone, 30 µs a call and more, no stacks, no waits, no peers, nothing of what disks did"
)


class Way(NamedTuple):
    """A way to trace."""

    name: str
    """The engine's."""
    gives: str
    """What it gives, in a few words."""


# In the order in which `auto` tries them.
WAYS: Final = (
    Way("bcc", "every process you may see, some 300 ns a call, all columns this kernel fills"),
    Way("serve", "your own processes that have no other rights than yours; else as bcc, without lines of Python"),
    Way("strace", f"{_STOPPED}; no device, inode and file position"),
    Way("ptrace", _STOPPED),
    Way("counters", "what the host counts of this process anyway; no rows"),
)


def ways(found: Sequence[Finding], root: Path = Path("/"), *, held: Callable[[], str] | None = None) -> list[Finding]:
    """Return which way is taken, and what the others would give.

    Args:
        found: what the other checks found; a bad one keeps bcc from working.
        root: where the file tree begins.
        held: tries to hold a program of ours; returns why that is refused.
    """
    bad = next((finding.name for finding in found if finding.ok is False), "")
    refused = (held or _held)()
    if refused and (scope := _yama(root)):
        refused = f"{refused} (kernel.yama.ptrace_scope={scope})"
    reasons = {
        "bcc": f"see {bad}" if bad else "",
        "serve": _served(),
        "strace": refused or _strace(),
        "ptrace": refused,
        "counters": "",
    }
    taken = next(way for way in WAYS if not reasons[way.name])
    findings = [Finding("way", True, f"{taken.name}: {taken.gives}")]
    for way in WAYS:
        if way is not taken and way.name != "counters":
            cannot = f"{reasons[way.name]}; it would give " if reasons[way.name] else "works too: "
            findings.append(Finding(way.name if way.name != "bcc" else "with bcc", None, f"{cannot}{way.gives}"))
    return findings


def _served() -> str:
    """Return why the service of this machine cannot be used; empty where it can."""
    if sys.platform != "linux":
        return "there is none here"
    from ior_nb.engine.connect import NoService, connect

    try:
        served = connect()
    except NoService as error:
        return str(error)
    served.hang_up()
    served.close()
    return ""


def _strace() -> str:
    """Return why strace cannot be used; empty where it can."""
    program = shutil.which("strace")
    if program is None:
        return "not installed (apt-get install strace)"
    try:
        version = version_of(program)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program} does not run: {error}"
    if version is None or version < OLDEST:
        return f"{program} is older than {'.'.join(map(str, OLDEST))}"
    return ""


def _held() -> str:
    """Try to hold a program of our own for a moment; return why that is refused, empty where it is not."""
    if sys.platform != "linux":
        return "there is no ptrace here"
    libc = ctypes.CDLL(None, use_errno=True)
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        done = libc.ptrace(_SEIZE, child.pid, None, None)
        reason = "" if done == 0 else os.strerror(ctypes.get_errno())
        child.kill()
    return f"no program may be held here: {reason}" if reason else ""


def _yama(root: Path) -> str:
    try:
        return (root / _YAMA).read_text().strip()
    except OSError:
        return ""
