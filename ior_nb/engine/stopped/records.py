"""`Records`: calls become records and names as the kernel program would have sent them, and are counted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Final

import numpy as np

from ior_nb.engine.chunks import CHUNK
from ior_nb.engine.collector import wire
from ior_nb.engine.counted import COUNTER
from ior_nb.engine.decode import Decoder
from ior_nb.engine.fields import EVENT
from ior_nb.engine.player import sampled, tally
from ior_nb.engine.roles import has
from ior_nb.engine.stopped.inherited import Courses, Step
from ior_nb.engine.stopped.source import Birth, Block, Calls
from ior_nb.engine.stopped.tasks import Tasks, comm_of, program_name
from ior_nb.engine.stopped.words import unescaped
from ior_nb.syscalls.machine import NUMBERS

__all__ = ["Records", "Scope"]

_SPECIAL: Final = re.compile(rb"^(pipe|socket|anon_inode|[a-z]+):\[?([^\]]*)")
_MODES: Final = {b"pipe": 0o010000, b"socket": 0o140000}
_NAMED: Final = has("path") | has("exec_path") | has("text") | has("path_out")
_NAMED2: Final = has("path2") | has("text2")
_BRK: Final = NUMBERS["brk"]
_TEXT: Final = wire.CHUNK_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose calls are wanted, of those that are held."""

    pids: frozenset[int]
    tid: int = 0
    follow: bool = True
    at_exec: bool = False
    ignored: frozenset[int] = frozenset()
    """Threads whose calls are not the user's."""


@dataclass(slots=True)
class Frames:
    """What is to be sent, in this order."""

    names: bytes = b""
    events: bytes = b""
    count: int = 0
    """How many events."""
    in_flight: int = 0
    """Those of them that have not ended."""


class Records:
    """Makes the records of one trace.

    Args:
        scope: whose calls.
        running: processes that were there: pid -> parent's pid.
        enabled: numbers of the calls that are wanted.
        rates: their sampling.

    Attributes:
        totals: as the kernel program counts.
        counters: by number of the call, `COUNTER`.
    """

    def __init__(self, scope: Scope, running: dict[int, int], enabled: Iterable[int], rates: Mapping[int, int]) -> None:
        self.tasks = Tasks(running)
        self.totals = dict.fromkeys((*wire.TOTAL_NAMES, "lost_buffer", "skipped_runs", "open"), 0)
        self.counters = np.zeros(wire.SPECS, COUNTER)
        self._scope = scope
        self._executed = not scope.at_exec
        self._files: dict[bytes, int] = {}
        self._sockets: dict[bytes, int] = {}  # those nobody has been told of
        self._comms: dict[bytes, int] = {}
        self._ends: dict[int, int] = {}
        self._heaps: dict[int, int] = {}
        self._next = self._next_name = 0
        self._sampled = np.zeros(wire.SPECS, np.int64)
        self._decoder = Decoder()  # of the bytes that are counted
        self.set_specs(enabled, rates)

    def set_specs(self, enabled: Iterable[int], rates: Mapping[int, int]) -> None:
        """Change which calls are wanted."""
        self._enabled = np.zeros(wire.SPECS, bool)
        self._enabled[[n for n in enabled if n < wire.SPECS]] = True
        self._rates = dict(rates)

    def make(self, block: Block) -> Frames:
        """Make the records of a block, count its calls, and learn what became of tasks."""
        calls, tasks = block.calls, self.tasks
        for name, count in (("unpaired", block.before), ("compat", block.compat), ("unknown", block.unknown)):
            self.totals[name] += count
        self.totals["seen"] += block.unread
        self.totals["lost_ring"] += block.unread
        self._sockets |= block.sockets
        changed = {change.tid for change in (*block.execs, *block.comms, *block.folders, *block.roots)}
        born = tasks.learn({*np.unique(calls.tid).tolist(), *changed}, block.born, block.making)
        pids = np.fromiter(map(tasks.pids.__getitem__, calls.tid.tolist()), np.int64, len(calls))
        chunks: list[np.ndarray] = [self._births()]
        comms = self._comms_of(block, born, chunks)
        places = self._places_of(block, born, pids)
        keep = self._wanted(block, pids)
        frames = self._records(calls, np.flatnonzero(keep), pids, comms, places, chunks)
        gone = tasks.end(block)
        for tid, _ in block.ended:
            self._ends.pop(tid, None)
            self._heaps.pop(tid, None)
        chunks.append(_tasks(wire.N_DEATH, [(pid, when, 0) for pid, when in gone]))
        frames.names = b"".join(part.tobytes() for part in chunks if len(part))
        return frames

    def lose(self, frames: Frames) -> None:
        """Events that were made are not sent: the reader is too slow."""
        self.totals["open"] -= frames.in_flight
        self.totals["emitted"] -= frames.count - frames.in_flight
        self.totals["lost_buffer"] += frames.count

    def alive(self) -> bytes:
        """Return the ids that may come again, as an ALIVE frame has them: all."""
        words = [self._next, *range(1, self._next + 1), *range(1, len(self._comms) + 1)]
        return np.array(words, "<u4").tobytes()

    # ---- who

    def _births(self) -> np.ndarray:
        born, self.tasks.begun = self.tasks.begun, []
        return _tasks(wire.N_BIRTH, [(pid, 1, parent) for pid, parent in born])

    def _comms_of(self, block: Block, born: dict[int, Birth], chunks: list[np.ndarray]) -> np.ndarray:
        """Return the id of the caller's name in each row."""
        comms = self.tasks.comms
        names = [(change, program_name(change.text)) for change in block.execs]
        names += [(change, change.text) for change in block.comms]
        steps = [Step(change.tid, change.row, partial(_or, name or comm_of(change.tid))) for change, name in names]
        made = {tid: (birth.maker, birth.row) for tid, birth in born.items()}
        courses = Courses(lambda tid: comms.get(tid, b""), made, steps)
        found = courses.rows(block.calls.tid, lambda name: self._comm(name, chunks), np.uint32)
        comms |= courses.at_end()
        return found

    def _comm(self, name: bytes, chunks: list[np.ndarray]) -> int:
        known = self._comms.get(name)
        if known is None:
            known = self._comms[name] = len(self._comms) + 1
            chunks.append(_names(wire.N_COMM, known, name[:15].ljust(16, b"\0")))
        return known

    def _places_of(self, block: Block, born: dict[int, Birth], pids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return root and working directory of each row's process, and note how they change."""
        tasks, of = self.tasks, self.tasks.pids
        steps = [Step(of.get(tid, tid), row, partial(_rooted, name)) for row, tid, name in block.roots]
        steps += [Step(of.get(tid, tid), row, partial(_moved, name)) for row, tid, name in block.folders]
        made = {tid: (of.get(birth.maker, birth.maker), birth.row) for tid, birth in born.items() if not birth.thread}
        courses = Courses(lambda pid: (tasks.roots.get(pid, b"/"), tasks.folders.get(pid)), made, steps)
        found = courses.rows(pids, itemgetter(0), object), courses.rows(pids, itemgetter(1), object)
        for pid, (root, folder) in courses.at_end().items():
            tasks.roots[pid], tasks.folders[pid] = root, folder
        return found

    def _wanted(self, block: Block, pids: np.ndarray) -> np.ndarray:
        calls, scope = block.calls, self._scope
        keep = np.array(self._enabled.take(np.minimum(calls.nr, wire.SPECS - 1)))
        if not self._executed:
            first = [change.row for change in block.execs if change.tid in scope.pids]
            keep[: min(first, default=len(calls))] = False
            self._executed = bool(first)
        if not scope.follow:
            keep &= np.isin(pids, list(scope.pids))
        if scope.tid:
            keep &= calls.tid == scope.tid
        left_out = keep & (calls.ours | np.isin(calls.tid, list(scope.ignored)))
        self.totals["left_out"] += int(left_out.sum())
        return keep & ~left_out

    # ---- records

    def _records(
        self,
        calls: Calls,
        rows: np.ndarray,
        pids: np.ndarray,
        comms: np.ndarray,
        places: tuple[np.ndarray, np.ndarray],
        chunks: list[np.ndarray],
    ) -> Frames:
        if not len(rows):
            return Frames()
        events = np.zeros(len(rows), EVENT)
        events["len"] = wire.EVENT_BYTES
        for name in ("tid", "time", "latency", "nr", "ret", "args", "pos", "extra", "flags"):
            events[name] = getattr(calls, name)[rows]
        events["pid"], events["comm"] = pids[rows], comms[rows]
        self._gaps(events)
        events["file"] = self._ids(calls.file[rows].tolist(), chunks)
        events["file2"] = self._ids(calls.file2[rows].tolist(), chunks)
        self._breaks(events)
        self._paths(calls, rows, events, places, chunks)
        return self._counted(events, chunks)

    def _breaks(self, events: np.ndarray) -> None:
        """Fill the end of the heap before each brk: what the last one of its process returned."""
        for k in np.flatnonzero(events["nr"] == _BRK).tolist():
            pid, end = int(events["pid"][k]), int(events["ret"][k])
            events["extra"][k] = self._heaps.get(pid, 0)
            self._heaps[pid] = end

    def _gaps(self, events: np.ndarray) -> None:
        order = np.lexsort((events["time"], events["tid"]))
        tids, times = events["tid"][order], events["time"][order].astype(np.int64)
        ends = times + events["latency"][order].astype(np.int64)
        first = np.r_[True, tids[1:] != tids[:-1]]
        before = np.r_[0, ends[:-1]]
        heads = np.flatnonzero(first)
        before[heads] = [self._ends.get(tid, 0) for tid in tids[heads].tolist()]
        last = np.r_[heads[1:], len(order)] - 1
        self._ends |= dict(zip(tids[last].tolist(), ends[last].tolist(), strict=True))
        events["gap"][order] = np.where(before > 0, np.maximum(times - before, 0), 0)
        events["flags"][order] |= np.where(before > 0, 0, wire.EF_FIRST).astype(np.uint8)

    def _ids(self, names: list[bytes | None], chunks: list[np.ndarray]) -> list[int]:
        """Return the id of each file, 0 for none."""
        for name in sorted(name for name in set(names) - self._files.keys() if name is not None):
            self._next += 1
            self._files[name] = self._next
            chunks.append(self._file(self._next, name))
        get = self._files.get
        return [get(name, 0) if name is not None else 0 for name in names]

    def _file(self, number: int, key: bytes) -> np.ndarray:
        """Return the chunks that say what a file is called and what it is."""
        name, _, identity = key.partition(b"\0")
        text = unescaped(name)
        mode, device, inode = 0, 0, 0
        if identity:
            mode, device, inode = (int(word, base) for word, base in zip(identity.split(), (8, 10, 10), strict=True))
        elif text.startswith(b"/"):
            mode = _mode_of(text)
        elif found := _SPECIAL.match(text):
            mode = _MODES.get(found[1], 0)
            inode = int(found[2]) if found[2].isdigit() else 0
        head = _names(wire.N_FILE, number, text)
        head["mode"], head["inode"], head["socket"] = mode, inode, self._sockets.pop(key, 0)
        head["dev"] = os.major(device) << 20 | os.minor(device)
        return head

    def _paths(
        self,
        calls: Calls,
        rows: np.ndarray,
        events: np.ndarray,
        places: tuple[np.ndarray, np.ndarray],
        chunks: list[np.ndarray],
    ) -> None:
        """Send path arguments, a chunk each, with the directory they are relative to."""
        nr = events["nr"]
        named = np.flatnonzero(_NAMED.take(nr) | _NAMED2.take(nr))
        if not len(named):
            return
        ids = np.arange(self._next_name + 1, self._next_name + 1 + len(named), dtype=np.uint32)
        self._next_name += len(named)
        events["names"][named] = ids
        for kind, table, texts, bases, nulls in (
            (wire.N_PATH1, _NAMED, calls.path, calls.base, calls.null),
            (wire.N_PATH2, _NAMED2, calls.path2, calls.base2, calls.null2),
        ):
            mine = np.flatnonzero(table.take(nr[named]))
            if not len(mine):
                continue
            at = rows[named[mine]]
            found = texts[at].tolist()
            lookups = zip(found, bases[at].tolist(), *(place[at].tolist() for place in places), strict=True)
            based = [
                root if text is not None and text[:1] == b"/" else folder if base is None else base or None
                for text, base, root, folder in lookups
            ]
            chunks += self._chunks(kind, ids[mine], found, self._ids(based, chunks), nulls[at])

    def _chunks(
        self, kind: int, ids: np.ndarray, texts: list[bytes | None], bases: list[int], null: np.ndarray
    ) -> list[np.ndarray]:
        words = [text or b"" for text in texts]
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        flags = np.where(null, wire.NF_NULL, np.where([t is None for t in texts], wire.NF_UNREADABLE, 0))
        parts = np.maximum((sizes + _TEXT - 1) // _TEXT, 1)
        found = np.zeros(len(words), CHUNK)
        found["len"], found["type"], found["parts"] = wire.CHUNK_BYTES, kind, parts
        found["id"], found["base"], found["flags"] = ids, bases, flags
        found["bytes"] = np.minimum(sizes, _TEXT)
        raw = np.array([word[:_TEXT].ljust(_TEXT, b"\0") for word in words], f"V{_TEXT}")
        found["text"] = raw
        long = np.flatnonzero(parts > 1).tolist()
        made = [found]
        for k in long:
            whole = _names(kind, int(ids[k]), words[k])
            whole["base"], whole["flags"] = bases[k], flags[k]
            made.append(whole[1:])
        return made

    def _counted(self, events: np.ndarray, chunks: list[np.ndarray]) -> Frames:
        """Count the calls; return those that sampling lets be rows."""
        flying = events["flags"] & wire.EF_IN_FLIGHT != 0
        number = events["nr"].astype(np.int64)
        keep = sampled(number[~flying], self._rates, self._sampled)
        kept = np.ones(len(events), bool)
        if keep is not None:
            kept[np.flatnonzero(~flying)] = keep
        self.totals["seen"] += len(events)
        self.totals["open"] += int(flying.sum())
        self.totals["sampled_out"] += int((~kept).sum())
        self.totals["emitted"] += int((kept & ~flying).sum())
        names = self._decoder.names
        names.take(b"".join(part.tobytes() for part in chunks if len(part)))
        batch = self._decoder.events(events.tobytes())
        if flying.any():
            number, batch = number[~flying], batch.take(~flying)
        tally(self.counters, number, batch)
        sent = events if kept.all() else events[kept]
        return Frames(events=sent.tobytes(), count=len(sent), in_flight=int((flying & kept).sum()))


def _mode_of(path: bytes) -> int:
    """Return what kind of file has the name now: one look at each name."""
    try:
        return os.lstat(path).st_mode & 0o170000
    except OSError:
        return 0o100000


def _names(kind: int, number: int, text: bytes) -> np.ndarray:
    """Return the chunks of one name."""
    parts = max((len(text) + _TEXT - 1) // _TEXT, 1)
    found = np.zeros(parts, CHUNK)
    found["len"], found["type"], found["id"], found["parts"] = wire.CHUNK_BYTES, kind, number, parts
    found["part"] = np.arange(parts)
    for k in range(parts):
        piece = text[k * _TEXT : (k + 1) * _TEXT]
        found["bytes"][k] = len(piece)
        found["text"][k] = np.void(piece.ljust(_TEXT, b"\0"))
    return found


def _tasks(kind: int, tasks: list[tuple[int, int, int]]) -> np.ndarray:
    """Return chunks of births or deaths: (pid, when, parent)."""
    found = np.zeros(len(tasks), CHUNK)
    if tasks:
        found["len"], found["type"], found["parts"] = wire.CHUNK_BYTES, kind, 1
        found["id"], found["time"], found["base"] = zip(*tasks, strict=True)
    return found


def _or(name: bytes, before: bytes) -> bytes:
    return name or before


Places = tuple[bytes, bytes | None]
"""Root and working directory of a process."""


def _rooted(name: bytes, places: Places) -> Places:
    """Return them after chroot."""
    return _joined(places, name) or places[0], places[1]


def _moved(name: bytes, places: Places) -> Places:
    """Return them after chdir."""
    return places[0], _joined(places, name) or places[1]


def _joined(places: Places, name: bytes) -> bytes | None:
    root, folder = places
    if name[:1] == b"/":
        folder = root
    return None if folder is None or not name else os.path.normpath(b"/" + folder.strip(b"/") + b"/" + name)
