"""From raw ring records to `EventBatch`es: numpy over whole frames, no Python statement per event.

What a word of a record means depends on the call; `roles` says which, derived from the syscall table, so this module
knows no syscall by name either.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Final

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.fields import NO_ROWS, OF_SIZE, PAGE_FAULT, Records
from ior_nb.engine.machinery import Machinery
from ior_nb.engine.names import MAX_PID, Names
from ior_nb.engine.roles import (
    ASKING,
    CLASS,
    EMPTY_PATH,
    EMPTY_PATH2,
    FD_AND_PATH,
    POSITIONED,
    PROBES,
    RESULT_FD,
    ROLE,
    has,
)
from ior_nb.engine.spent import Spent
from ior_nb.engine.stacks import TEXTS, Stacks
from ior_nb.runtime import EventBatch, StringTable, new_tables
from ior_nb.runtime.batch import MOST_STRINGS, repeated
from ior_nb.runtime.index import grown, rows_of
from ior_nb.runtime.schema import is_error
from ior_nb.syscalls import SYSCALLS
from ior_nb.syscalls.machine import OPEN_FLAGS

__all__ = ["Decoder"]

# All bits where it is so: `np.where` takes ten times as long as `&` where rows differ at random.
_MOVING: Final = -(CLASS > 0).astype(np.int64)
_UNPOSITIONED: Final = -(~POSITIONED).astype(np.int64)
_EFAULT: Final = 14
_MSG_PEEK: Final = 2
_MSG_TRUNC: Final = 0x20
_TIMER_ABSTIME: Final = 1
_PAGE: Final = np.uint64(mmap.PAGESIZE)  # arm64 kernels are built for pages of 4, 16 or 64 KiB
_STATES: Final = np.uint8(wire.EF_IN_FLIGHT | wire.EF_REFUSED | wire.EF_NO_RETURN)
"""Flags that say another state than "done"."""


class Decoder:
    """Turns the frames of one collector into batches; keeps what names mean. One thread at a time uses it.

    Args:
        limit: paths in a string table. A long trace sees any number of them, so when there are more a new table is
            begun; batches keep the one they were made with.

    Attributes:
        tables: the string tables of the next batch.
        names: what ids mean.
        spent: what calls fetched and waited for; which of it the records say can be set.
        stacks: what ids of Python stacks mean.
        machinery: rows that their frames show to be nobody's work but ours or the notebook's.
    """

    def __init__(self, *, limit: int = MOST_STRINGS) -> None:
        self._limit = self._enough = self._enough_ends = limit
        self._room = np.empty(0, "<u8")
        self.tables: Mapping[str, StringTable] = new_tables()
        self.names = Names(self.tables)
        self.stacks = Stacks(self.tables)
        self.machinery = Machinery()
        self.spent = Spent(self.tables)
        self._syscalls = np.zeros(wire.SPECS, np.int32)
        self._families = np.zeros(wire.SPECS, np.int32)
        numbers = [c.number for c in SYSCALLS]
        self._syscalls[numbers] = self.tables["syscall"].intern_many([c.name for c in SYSCALLS])
        self._families[numbers] = self.tables["family"].intern_many([c.family for c in SYSCALLS])
        # Index: the flags of a record.
        self._states = self.tables["state"].intern_many([_state(flags) for flags in range(256)])
        self._untimed = np.int32(self.tables["state"].intern("untimed"))
        self._operations = np.r_[np.int32(0), self.tables["epoll_op"].intern_many(["ADD", "DEL", "MOD"])]
        kinds = self.tables["file_kind"]
        self._unseekable = np.full(len(kinds), -1)
        self._unseekable[kinds.intern_many(["file", "block", "directory"])] = 0

    def events(self, *payloads: bytes) -> EventBatch:
        """Decode EVENTS frames; every name they use has come before.

        Args:
            payloads: whole ring records.

        Returns:
            One row a record, in the ring's order, but for those of `machinery`. `seq`, `cell` and `filter_epoch` are
            the session's to fill.
        """
        if len(self.tables["file"]) > self._enough:
            paths = StringTable()
            self.tables = {**self.tables, "file": paths, "old_file": paths, "path_arg": paths}
            self.names.renew_paths(self.tables)
            self._enough = max(self._limit, 2 * len(paths))  # what still waits came along
        if len(self.tables["comm"]) > self._limit:
            self.tables = {**self.tables, "comm": StringTable()}
            self.names.renew_comms(self.tables)
        if len(self.tables["peer"]) > self._enough_ends:
            ends = StringTable()
            self.tables = {**self.tables, "peer": ends, "local": ends}
            self.names.renew_ends(self.tables)
            self._enough_ends = max(self._limit, 2 * len(ends))
        if self.stacks.full:
            self.tables = {**self.tables, **{name: StringTable() for name in TEXTS.values()}}
            self.stacks.renew(self.tables)
        self._room = grown(self._room, sum(map(len, payloads)) // 8)
        r = Records(payloads, self._room)
        names, raw, nr = self.names, r.raw, r.nr
        file, comm = names.file_places.find(raw["file"]), names.comm_places.find(raw["comm"])
        pid = raw["pid"].copy()
        at_pid = np.minimum(pid, MAX_PID).astype(np.intp)
        flags = raw["flags"].copy()
        failed = r.ret < 0
        rows = rows_of(failed)
        failed[rows] = is_error(r.ret[rows])
        rows = rows[failed[rows]]
        r.columns = {
            "time_ns": raw["time"].copy(),
            "gap_ns": raw["gap"].copy(),
            "latency_ns": raw["latency"].copy(),
            "comm": names.comms.take(comm),
            "pid": pid,
            "tid": raw["tid"].copy(),
            "syscall": self._syscalls.take(nr),
            "family": self._families.take(nr),
            "ret": r.ret,
            "is_error": failed,
            "ppid": names.parents.take(at_pid),
            "started_before": names.before.take(at_pid),
            "file_kind": names.kinds.take(file),
            "dev": names.devs.take(file),
            "inode": names.inodes.take(file),
            "file": names.paths_of(file),
        }
        if r.bits["flags"] & _STATES:
            r.columns["state"] = self._states.take(flags)
        else:
            r.columns["state"] = repeated(self._states[:1], r.count)
        if r.bits["flags"] & wire.EF_FIRST:
            r.columns["first_on_tid"] = (flags & wire.EF_FIRST).view(bool)
        if r.kinds.page_faults:
            r.columns["state"] = np.where(nr == PAGE_FAULT, self._untimed, r.columns["state"])
        if len(rows):
            self._probes(r, rows)
        if r.bits["generation"]:
            r.columns["filter_epoch"] = raw["generation"].astype(np.uint64)  # the session makes epochs of generations
        own = NO_ROWS
        if r.bits["stack"]:
            stacks, ids = self.stacks, self.stacks.known(raw["stack"])
            own = stacks.own.take(ids) & (flags & wire.EF_IN_FLIGHT == 0)
            r.columns["stack"] = stacks.texts.take(ids)
            r.columns["py_file"] = stacks.files.take(ids)
            r.columns["py_line"] = stacks.lines.take(ids)
            r.columns["py_func"] = stacks.functions.take(ids)
        if r.bits["opener"]:
            r.columns["opened_at"] = self.stacks.places.take(self.stacks.known(raw["opener"]))
        names.in_their_time(at_pid, raw["time"], r.columns["ppid"], r.columns["started_before"])
        sockets = names.sockets.take(file)
        if sockets.any():
            r.columns["socket"] = sockets
            r.columns["peer"], r.columns["local"] = names.peers.take(file), names.locals.take(file)
        self._descriptors(r)
        self._bytes(r)
        if r.kinds.positions:
            self._positions(r)
        if r.kinds.paths and r.bits["names"]:
            self._paths(r)
        _rare(r, self._operations)
        self.spent.fill(raw, r.bits, nr, r.columns)
        batch = EventBatch.owning(r.columns, r.count, self.tables)
        return self.machinery.take_out(batch, own, nr) if own.any() else batch

    def _probes(self, r: Records, failed: np.ndarray) -> None:
        """Tell the answers to questions from failures, where call and error, or the request of an ioctl, say which."""
        probe = PROBES[r.nr[failed], np.minimum(-r.ret[failed], PROBES.shape[1] - 1)]
        index = ROLE["request"][r.nr[failed]]
        asked = rows_of(probe & (index >= 0))
        if len(asked):
            requests = r.raw["args"][failed[asked], index[asked]].astype(np.uint32)  # the kernel looks at no more
            probe[asked] = np.isin(requests, ASKING)
        r.fill("probe", failed[probe], np.ones(int(probe.sum()), bool))

    def _descriptors(self, r: Records) -> None:
        fd = r.columns["fd"] = r.column("fd", "<i4")
        if r.kinds.descriptors:
            rows = rows_of(RESULT_FD.take(r.nr))
            rows = rows[(r.ret[rows] >= 0) & (r.raw["flags"][rows] & wire.EF_NO_RETURN == 0)]
            fd[rows] = r.ret[rows]
        if r.any("fds_out"):
            rows = rows_of(has("fds_out")[r.nr] & (r.ret == 0))
            fd[rows] = (r.extra[rows] & 0xFFFFFFFF).astype(np.int32)
        if r.any("fd2"):
            r.columns["old_file"] = self.names.paths_of(self.names.file_places.find(r.raw["file2"]))

    def _bytes(self, r: Records) -> None:
        """Bytes asked for, and bytes moved: the rule of `payload` in bpf/exit.c, over columns."""
        requested = r.columns["requested_bytes"] = r.column("size", "<i8")
        for role in ("iovec", "msghdr"):
            rows, _ = r.words(role)
            requested[rows] = r.extra[rows]
        moved = np.maximum(r.ret, 0)
        moved &= _MOVING.take(r.nr)
        rows, _ = r.words("mmsghdr")
        moved[rows] = np.where(r.ret[rows] > 0, np.maximum(r.extra[rows], 0), 0)  # the result counts messages
        rows, message_flags = r.words("recv_flags")
        if len(rows) and (message_flags & (_MSG_TRUNC | _MSG_PEEK)).any():
            capacity = requested[rows]
            cut = (message_flags & _MSG_TRUNC != 0) & (capacity > 0)  # the result is the length on the wire
            moved[rows] = np.where(cut, np.minimum(moved[rows], capacity), moved[rows])
            moved[rows[message_flags & _MSG_PEEK != 0]] = 0
        if r.kinds.sized:
            nothing = rows_of(requested == 0)
            moved[nothing[OF_SIZE[r.nr[nothing]]]] = 0  # a size probe moves nothing
        r.columns["bytes"] = moved.view(np.uint64)

    def _positions(self, r: Records) -> None:
        offset = _UNPOSITIONED.take(r.nr)
        offset |= self._unseekable.take(r.columns["file_kind"])
        offset |= r.raw["pos"]
        r.columns["offset"] = offset
        if r.any("fd2"):
            two = has("fd2").take(r.nr)
            source = self.names.kinds.take(self.names.file_places.find(r.raw["file2"]))
            r.columns["old_offset"] = np.where(two & (self._unseekable[source] == 0), r.extra, -1)

    def _paths(self, r: Records) -> None:
        """Fill path_arg and old_file, and file where no descriptor names it."""
        names, columns = self.names, r.columns
        rows = rows_of(r.raw["names"])
        calls, ids = r.nr[rows], r.raw["names"][rows]
        given = names.waiting[wire.N_PATH1].take(ids)
        r.fill("path_arg", rows, np.where(has("path_out")[calls], 0, given["code"]))
        in_tree = has("path")[calls] | has("exec_path")[calls]
        arguments = given["code"]
        in_root = rows_of((given["flags"] & wire.NF_IN_ROOT != 0) & (arguments != 0))
        if len(in_root):  # the base is the root: the path below it is an absolute one
            arguments = arguments.copy()
            arguments[in_root] = names.rooted(arguments[in_root])
        whole = np.where(in_tree, names.join(given["base"], arguments), given["code"])
        by_result = RESULT_FD[calls] & (r.ret[rows] >= 0)
        itself = in_tree & ~by_result & self._is_descriptor(r, rows, given, EMPTY_PATH)
        if itself.any():
            whole[itself] = self._itself(r, rows[itself], given[itself])
        file = columns["file"]
        fill = (file[rows] == 0) | FD_AND_PATH[calls]
        file[rows[fill]] = whole[fill]
        two = has("path2")[calls] | has("text2")[calls]
        if two.any():
            rows, ids, calls = rows[two], ids[two], calls[two]
            second = names.waiting[wire.N_PATH2].take(ids)
            whole = np.where(has("path2")[calls], names.join(second["base"], second["code"]), second["code"])
            itself = has("path2")[calls] & self._is_descriptor(r, rows, second, EMPTY_PATH2)
            whole[itself] = names.paths_of(names.file_places.find(second["base"][itself]))
            r.fill("old_file", rows, whole)

    @staticmethod
    def _is_descriptor(
        r: Records, rows: np.ndarray, given: np.ndarray, empty_path: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Whether a path is empty and means the descriptor: where the call's flags, or a null pointer, say so."""
        empty = (given["code"] == 0) & (given["flags"] & wire.NF_UNREADABLE == 0) & (given["id"] != 0)
        if not empty.any():
            return np.asarray(empty)
        argument, mask = (table[r.nr[rows]] for table in empty_path)
        asked = (argument >= 0) & (r.raw["args"][rows, np.maximum(argument, 0)] & mask != 0)
        result: np.ndarray = empty & ((given["flags"] & wire.NF_NULL != 0) & (r.ret[rows] != -_EFAULT) | asked)
        return result

    def _itself(self, r: Records, rows: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Fill what is known of the descriptor that is meant; return the paths."""
        names, columns = self.names, r.columns
        base = names.file_places.find(given["base"])
        directory = ROLE["dirfd"][r.nr[rows]]
        number = r.raw["args"][rows, np.maximum(directory, 0)].astype(np.int32)
        own = (directory >= 0) & (number >= 0)
        columns["fd"][rows[own]] = number[own]
        for name, table in (("file_kind", names.kinds), ("dev", names.devs), ("inode", names.inodes)):
            columns[name][rows] = table[base]
        if names.sockets[base].any():
            r.fill("socket", rows, names.sockets[base])
        return names.paths_of(base)


def _state(flags: int) -> str:
    """Return what a record's flags say of its call."""
    if flags & wire.EF_IN_FLIGHT:
        return "in flight"
    if flags & wire.EF_REFUSED:
        return "refused"
    return "no return" if flags & wire.EF_NO_RETURN else "done"


def _rare(r: Records, operations: np.ndarray) -> None:
    """The columns few calls fill."""
    for role in ("open_flags", "open_how"):
        rows, values = r.words(role)
        r.fill("open_flags", rows, _generic(values if role == "open_flags" else r.extra[rows]))
    rows, values = r.words("nfds", "<i4")
    r.fill("nfds", rows, values)
    rows, values = r.words("timeout_ms", "<i4")
    r.fill("timeout_ns", rows, np.where(values < 0, -1, values.astype(np.int64) * 1_000_000))
    for role in ("timeout_timespec", "timeout_timeval"):
        rows, _ = r.words(role)
        r.fill("timeout_ns", rows, r.extra[rows])
    rows, _ = r.words("sleep_timespec")
    r.fill("requested_sleep_ns", rows, r.extra[rows])
    rows, values = r.words("sleep_flags")
    if len(rows):  # a sleep until a point in time has no length of its own
        rows = rows[values & _TIMER_ABSTIME != 0]
        r.fill("requested_sleep_ns", rows, np.full(len(rows), -1))
    rows, values = r.words("epoll_op")
    if len(rows):
        r.fill("epoll_op", rows, operations[np.where((values > 0) & (values < 4), values, 0)])
        rows, values = r.words("target_fd", "<i4")
        r.fill("epoll_target_fd", rows, values)
        rows, _ = r.words("epoll_event")
        r.fill("epoll_events", rows, r.extra[rows] & 0xFFFFFFFF)
    rows, values = r.words("length", "<u8")
    if len(rows):
        second, others = r.words("length2", "<u8")
        at = np.searchsorted(rows, second)
        values[at] = np.maximum(values[at], others)  # mremap: the larger of old and new
        r.fill("address_space_bytes", rows, np.where(r.columns["is_error"][rows], 0, _pages(values)))
    rows, values = r.words("brk", "<u8")
    if len(rows):  # `extra` is the break before the call
        before = r.extra[rows]
        moved = np.where((values != 0) & (before > 0), np.abs(r.ret[rows] - before), 0)
        r.fill("address_space_bytes", rows, _pages(moved.astype(np.uint64)))


def _generic(flags: np.ndarray) -> np.ndarray:
    """Return flags of opens in the bits of asm-generic/fcntl.h.

    Here, where rows are made: so the column means the same in every recording, and nothing that reads one has to know
    which machine it is of.
    """
    if not OPEN_FLAGS:
        return flags
    moved = flags & ~sum(OPEN_FLAGS)
    for here, there in OPEN_FLAGS.items():
        moved |= np.where(flags & here != 0, there, 0)
    return moved


def _pages(lengths: np.ndarray) -> np.ndarray:
    result: np.ndarray = (lengths + _PAGE - np.uint64(1)) // _PAGE * _PAGE
    return result
