"""What a view may ask of the session: filter, recording, start and stop."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ior_nb.errors import ConfigError
from ior_nb.globalfilter import FilterStack, complete, parse, to_text
from ior_nb.plan import plan
from ior_nb.runtime import Filter, RecordingState, Suggestion, Task, TraceState

if TYPE_CHECKING:
    from ior_nb.desk.desk import Desk
    from ior_nb.session import TracerSession

__all__ = ["Control", "Filters", "Recording"]


class Filters:
    """`runtime.FilterEditor`."""

    def __init__(self, desk: Desk, stack: FilterStack) -> None:
        self._desk, self._stack = desk, stack
        self._shared = stack is desk.session.filters

    @property
    def active(self) -> Filter:
        return self._stack.active

    @property
    def labels(self) -> tuple[str, ...]:
        return self._stack.labels

    def parse(self, text: str) -> Filter:
        return parse(text)

    def text(self, filter: Filter) -> str:  # noqa: A002 - the field's own word
        return to_text(filter) if filter.active else ""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        changed = self._desk.session.set(filter, label) if self._shared else self._stack.push(filter, label)
        if changed:
            self._desk.look()
        return changed

    def undo(self) -> bool:
        went = self._desk.session.undo() if self._shared else self._stack.pop()
        if went:
            self._desk.look()
        return went

    def suggest(self, text: str, position: int) -> list[Suggestion]:
        return complete(text, position, self._desk.known())


class Recording:
    """`runtime.RecordingControl`."""

    def __init__(self, session: TracerSession) -> None:
        self._session = session

    def start(self, path: str = "") -> Path:
        generated = not path.strip()
        name = f"ior-recording-{time.strftime('%Y%m%d-%H%M%S')}.parquet" if generated else path.strip()
        self._session.record(name, generated=generated)
        return Path(self._session.recorder().status().path)

    def stop(self) -> Path | None:
        return self._session.stop_recording()

    def status(self) -> RecordingState:
        status = self._session.recorder().status()
        return RecordingState(
            active=status.active,
            path=str(status.path or ""),
            rows=status.rows_written,
            dropped=status.rows_dropped,
            size=status.bytes_written,
            error=str(status.error or ""),
        )


class Control:
    """`runtime.TraceControl`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def state(self) -> TraceState:
        return self._desk.state()

    def start(self, pid: int = 0, tid: int = 0, *, system: bool = False, families: Sequence[str] = ()) -> None:
        session = self._desk.session
        if self._desk.state().fixed:
            raise ConfigError("this dashboard shows a finished trace; %ior start, and another dashboard, trace anew")
        if session.running is not None:
            raise ConfigError("a trace is running; stop it first")
        wanted: dict[str, Any] = {"system": system}
        if not system and (pid or tid):
            wanted |= {"pid": pid or None, "tid": tid or None}
        session.trace(plan(families=families or None, **wanted)).__enter__()
        self._desk.look()

    def stop(self) -> None:
        run = None if self._desk.state().fixed else self._desk.session.running
        if run is None:
            raise ConfigError("no trace is running")
        run.owner.end()
        self._desk.session.announce(run.owner.trace)
        self._desk.look()

    def reset(self) -> None:
        self._desk.reset()

    def tasks(self, pid: int = 0) -> list[Task]:
        return _threads(pid) if pid else _processes()

    def export(self, path: str) -> Path:
        if Path(path).exists():
            raise ConfigError(f"{path} is there already; give another name")
        ended, wanted = self._desk.ended, self._desk.filters.active
        if ended is not None:
            return (ended.filter(wanted) if wanted.active else ended).export(path)
        from ior_nb.export import export

        run = self._desk.session.running
        rows = self._desk.session.stream_buffer().events() if run is None else run.rows()
        return export(rows.take(wanted.mask(rows)) if wanted.active else rows, path)


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
