"""What a view may ask of the session: a recording, and the start and the end of a trace."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ior_nb.errors import ConfigError
from ior_nb.runtime import HostsTrace, LiveTrace, PageState, RecordingState, Task, TraceState
from ior_nb.session.bindings import Bindings
from ior_nb.session.plan import Request, plan
from ior_nb.session.session import TracerSession
from ior_nb.session.window import Stretch

__all__ = ["Control", "Recording"]


class Recording:
    """`runtime.RecordingControl`."""

    def __init__(self, session: TracerSession) -> None:
        self._session = session

    def start(self, path: str = "") -> Path:
        generated = not path.strip()
        name = f"ior-recording-{time.strftime('%Y%m%d-%H%M%S')}.parquet" if generated else path.strip()
        self._session.record(name, generated=generated)
        return self._session.recorder().status().path or Path(name)

    def stop(self) -> Path | None:
        return self._session.stop_recording()

    def status(self) -> RecordingState:
        return self._session.recorder().status()


class Control:
    """`runtime.TraceControl`."""

    def __init__(self, session: TracerSession, bindings: Bindings) -> None:
        self._session, self._bindings = session, bindings

    def state(self) -> TraceState:
        live = self._bindings.live()
        if live is None:
            return TraceState()
        return replace(live.state(), warnings=self._bindings.stream_buffer().warning_count)

    def start(self, pid: int = 0, tid: int = 0, *, system: bool = False, families: Sequence[str] = ()) -> None:
        state = self.state()
        if state.fixed:
            raise ConfigError("this dashboard shows a finished trace; %ior start, and another dashboard, trace anew")
        if state.running:
            raise ConfigError("a trace is running; stop it first")
        wanted: Request = {"system": system, "families": families or None}
        if not system:
            wanted |= {"pid": pid or None, "tid": tid or None}
        self._session.worker.do(Stretch(self._session, plan(**wanted)).begin)
        self._bindings.update()

    def stop(self) -> None:
        self._shown().stop()
        self._bindings.update()

    def reset(self) -> None:
        self._shown().reset()

    def choose(self, host: str) -> None:
        live = self._shown()
        if not isinstance(live, HostsTrace):
            raise ConfigError("this trace is of one host; there is none to choose")
        live.choose(host)

    def tasks(self, pid: int = 0) -> list[Task]:
        return _threads(pid) if pid else _processes()

    def pages(self, paths: Sequence[str]) -> Mapping[str, PageState]:
        live = self._bindings.live()
        return {} if live is None else live.pages(paths)

    def export(self, path: str) -> Path:
        if os.path.lexists(os.path.expanduser(path)):  # noqa: PTH111 - of a home that is nobody's the export says so
            raise ConfigError(f"{path} is there already; give another name")
        return self._shown().export(path, self._bindings.filters.active)

    def _shown(self) -> LiveTrace:
        live = self._bindings.live()
        if live is None:
            raise ConfigError("nothing has been traced yet")
        return live


def _processes() -> list[Task]:
    """Return the processes of /proc, this one first, then the newest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may be gone
                found.append(_task(entry, int(entry.name), int(entry.name), command=True))
    return sorted(found, key=lambda task: (not task.own, -task.pid))


def _threads(pid: int) -> list[Task]:
    folder = Path(f"/proc/{pid}/task")
    if not folder.is_dir():
        raise ConfigError(f"there is no process {pid}")
    found = []
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            found.append(_task(entry, pid, int(entry.name), command=False))
    return sorted(found, key=lambda task: task.tid)


def _task(folder: Path, pid: int, tid: int, *, command: bool) -> Task:
    words = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ") if command else b""
    return Task(
        pid=pid,
        tid=tid,
        comm=(folder / "comm").read_bytes().rstrip(b"\n").decode("utf-8", "backslashreplace"),
        command=words[:400].decode("utf-8", "backslashreplace"),
        uid=folder.stat().st_uid,
        own=pid == os.getpid(),
    )
