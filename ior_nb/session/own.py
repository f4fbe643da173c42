"""What of this process is not the user's: threads that serve notebook and tracer, and how they wake each other."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Final

from ior_nb.real import threads

__all__ = ["messaging_descriptors", "service_threads"]

# Packages whose threads serve the notebook, not its user.
_SERVICE: Final = ("ipykernel", "IPython", "jupyter_client", "zmq", "debugpy", "_pydevd_bundle", "pydevd", "ior_nb")


def service_threads() -> tuple[int, ...]:
    """Return the ids of this process's threads that serve the notebook or the tracer, not the user's code."""
    found = [
        t.native_id
        for t in threading.enumerate()
        if (t is not threading.main_thread() and type(t).__module__.startswith(_SERVICE))
        or str(getattr(getattr(t, "_target", None), "__module__", "")).startswith(_SERVICE)
        or t.name.startswith(("ior-", "IOPub", "Heartbeat", "Control", "Shell channel", "subshell-"))
    ]
    found += [t.native_id for t in threads()]
    for task in Path("/proc/self/task").iterdir():  # threads Python knows nothing of: ZeroMQ's own
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().startswith("ZMQbg"):
                found.append(int(task.name))
    # What has been patched may call the main thread one of these.
    return tuple(t for t in found if t is not None and t != os.getpid())


def messaging_descriptors() -> frozenset[int]:
    """Return the eventfds of a notebook kernel: its main thread writes to them when it prints. Empty elsewhere."""
    if "ipykernel" not in sys.modules:
        return frozenset()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()) == "anon_inode:[eventfd]":
                found.append(int(entry.name))
    return frozenset(found)
