"""From what a user asks for to what an engine is told. What can be refused is refused here, before any start."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypedDict, Unpack, get_type_hints

import numpy as np

from ior_nb.errors import ConfigError, NoCommand
from ior_nb.export import format_of
from ior_nb.globalfilter import parse, to_text
from ior_nb.runtime import EventBatch, Filter, Scope
from ior_nb.runtime.filter import check_columns
from ior_nb.sinks.parquet.target import PRIVATE
from ior_nb.syscalls import BY_NUMBER, DEFAULT_CALLS, DEFAULT_FAMILIES, FAMILIES, SYSCALLS, Syscall, resolve, select

__all__ = ["FRAMES_OF", "Command", "Plan", "Request", "enabled_calls", "parameters", "plan", "sampling_rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to start for the trace."""

    path: str
    """The file that is executed."""
    arguments: tuple[str, ...]
    """argv, the program's name as typed included."""
    cwd: str | None = None
    env: Mapping[str, str] | Mapping[bytes, bytes] | None = None
    inherits: bool = False
    """Whether it gets the descriptors this process was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A checked request."""

    title: str
    named: bool = False
    """Whether the user gave the title."""
    scope: Scope
    enabled: frozenset[int]
    rates: Mapping[int, int] = field(default_factory=dict)
    command: Command | None = None
    own: bool = False
    """Whether this process is what is traced."""
    home: str = ""
    """The folder it, or the command, begins in; empty for others."""
    filter: Filter = field(default_factory=Filter)
    """Which rows the user wants."""
    leave_out: Callable[[EventBatch], np.ndarray] | None = None
    """Which rows the user does not want: bool, shape (n,)."""
    record: Path | None = None
    record_mode: int = PRIVATE
    record_command: bool = False
    record_cells: bool = True
    keep_rows: bool = True
    stacks: str = "full"
    """A key of `FRAMES_OF`."""
    objects: bool = False
    """Whether to ask this process's HTTP libraries what they ask for."""
    waits: bool = True
    """Whether it is told what calls wait for."""
    quiet: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def of_child(self, pid: int) -> Plan:
        """Return the plan for the command's process."""
        return replace(self, scope=replace(self.scope, pids=(pid,), at_exec=True))

    def within(self, syscalls: Iterable[Syscall]) -> Plan:
        """Return the plan for an engine that has these system calls.

        Raises:
            ConfigError: it has none of those asked for.
        """
        enabled = self.enabled & {call.number for call in syscalls}
        if not enabled:
            names = ", ".join(sorted(BY_NUMBER[number].name for number in self.enabled)[:5])
            raise ConfigError(f"this machine has no {names}: only programs for another processor make that call")
        return replace(self, enabled=enabled)


class Request(TypedDict, total=False):
    """What `ior_nb.trace` can be asked for. A new keyword is a row here, a line of `plan`, and its text in `trace`."""

    command: Sequence[str] | None
    pid: int | Sequence[int] | None
    tid: int | None
    cgroup: str | Path | int | None
    uid: int | None
    system: bool
    families: str | Iterable[str] | None
    syscalls: str | Iterable[str] | None
    sampling: Mapping[str, int] | None
    filter: str | Filter | None
    follow: bool
    own: bool
    record: str | Path | None
    record_mode: int | None
    record_command: bool
    record_cells: bool
    keep_rows: bool
    stacks: str | None
    objects: bool
    waits: bool | None
    cwd: str | Path | None
    env: Mapping[str, str] | None
    title: str | None


FRAMES_OF: Final = {"off": 0, "lines": 12, "full": 32}
"""What can be asked of Python stacks -> frames of each at most, the innermost."""
_DEFAULTS: Final[Request] = {
    "system": False,
    "follow": True,
    "own": False,
    "record_command": False,
    "record_cells": True,
    "keep_rows": True,
    "objects": False,
}
"""Of those that are not None where nobody asks."""


def parameters() -> list[inspect.Parameter]:
    """Return the keywords of `Request` as parameters, for who shows or completes a signature."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=kind)
        for name, kind in get_type_hints(Request).items()
    ]


def plan(**asked: Unpack[Request]) -> Plan:
    """Check a request.

    Raises:
        ConfigError: it cannot be met; the message says why.
        TypeError: there is no such keyword.
    """
    if unknown := asked.keys() - Request.__annotations__.keys():
        raise TypeError(f"a trace has no keyword {min(unknown)!r}; it has {', '.join(Request.__annotations__)}")
    wanted: Request = {**_DEFAULTS, **asked}
    command, pid, tid = wanted.get("command"), wanted.get("pid"), wanted.get("tid")
    cgroup, uid, system = wanted.get("cgroup"), wanted.get("uid"), wanted["system"]
    targets = {"command": command, "pid": pid, "tid": tid, "cgroup": cgroup, "uid": uid, "system": system or None}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) > 1 and given != ["pid", "tid"]:
        raise ConfigError(f"{' and '.join(given)} exclude each other: choose one")
    program = _command(command, wanted.get("cwd"), wanted.get("env")) if command is not None else None
    follow = wanted["follow"]
    scope = _scope(command=program, pid=pid, tid=tid, cgroup=cgroup, uid=uid, system=system, follow=follow)
    mine = not given
    if wanted["objects"] and not mine:
        raise ConfigError(f"objects are what this process asks for: they cannot be had of a trace by {given[0]}")
    rows, families, syscalls = wanted.get("filter"), wanted.get("families"), wanted.get("syscalls")
    chosen = rows if isinstance(rows, Filter) else parse(rows) if rows else Filter()
    check_columns(chosen, ())
    sampling, record, title = wanted.get("sampling") or {}, wanted.get("record"), wanted.get("title")
    options = {"families": _joined(families), "syscalls": _joined(syscalls), "follow": str(follow)}
    if program is not None:
        options["command"] = " ".join(program.arguments)
    if chosen.active:
        options["filter"] = to_text(chosen)
    if sampling:
        options["sampling"] = ",".join(f"{name}={rate}" for name, rate in sampling.items())
    return Plan(
        named=bool(title),
        title=title or (_joined(program.arguments, " ") if program else "this process" if mine else str(scope)),
        scope=scope,
        enabled=enabled_calls(families, syscalls),
        rates=sampling_rates(sampling),
        command=program,
        own=mine,
        home=_folder(program) if mine or program else "",
        filter=chosen,
        leave_out=(lambda batch: batch["started_before"] & (batch["pid"] != os.getpid())) if wanted["own"] else None,
        record=_target(record) if record is not None else None,
        record_mode=_mode(wanted.get("record_mode")),
        record_command=wanted["record_command"],
        record_cells=wanted["record_cells"],
        keep_rows=wanted["keep_rows"],
        stacks=_stacks(wanted.get("stacks"), own=mine or program is not None),
        waits=_waits(wanted.get("waits"), own=mine or program is not None),
        objects=wanted["objects"],
        quiet=mine and record is None,  # a recording grows while it is made
        options={name: text for name, text in options.items() if text},
    )


def _target(record: str | Path) -> Path:
    """Return the path of a recording; refuse one that asks for another format."""
    if (other := format_of(record)) not in (None, "parquet"):
        raise ConfigError(
            f"{str(record)!r} cannot be recorded: a recording is a Parquet file, as in run.parquet; for {other} "
            f"export the trace when it has ended (%ior export {record}, or export() of the trace)"
        )
    return Path(record).expanduser()


def _folder(program: Command | None) -> str:
    try:
        return str(Path(program.cwd if program and program.cwd else ".").resolve())
    except OSError:  # the folder is gone
        return ""


def _mode(asked: object) -> int:
    if asked is None:
        return PRIVATE
    if not isinstance(asked, int) or asked & ~0o666 or asked & 0o600 != 0o600:
        mode = f"{asked:o}" if isinstance(asked, int) else repr(asked)
        raise ConfigError(
            f"a recording cannot have the mode {mode}; give one between 600 and 666, as 640 (in Python 0o640)"
        )
    return asked


def enabled_calls(families: str | Iterable[str] | None, syscalls: str | Iterable[str] | None) -> frozenset[int]:
    """Return the numbers of the system calls to trace.

    Raises:
        ConfigError: an unknown family or syscall, or nothing at all.
    """
    wanted_families, wanted_calls = _words(families), _words(syscalls)
    if families is None and syscalls is None:
        wanted_families, wanted_calls = list(DEFAULT_FAMILIES), list(DEFAULT_CALLS)
    if any(f.lower() == "all" for f in wanted_families):
        wanted_families = list(FAMILIES)
    try:
        chosen = frozenset(select(wanted_families, wanted_calls, ()))
    except LookupError as error:
        raise ConfigError(_message(error)) from error
    if not chosen:
        raise ConfigError("no system call is chosen: name at least one family or syscall")
    return chosen


def _stacks(asked: str | None, *, own: bool) -> str:
    """Return which Python stacks are wanted: all of them, unless it is said, where what is traced is the user's own.

    Raises:
        ConfigError: it is none of `FRAMES_OF`.
    """
    if asked is None:
        return "full" if own else "off"
    if asked not in FRAMES_OF:
        raise ConfigError(f"stacks={asked!r}: choose from {', '.join(FRAMES_OF)}")
    return asked


def _waits(asked: bool | None, *, own: bool) -> bool:
    """Return whether waits are told apart: unless it is said, where what is traced is the user's own.

    Raises:
        ConfigError: it is neither yes nor no.
    """
    if asked is not None and not isinstance(asked, bool):
        raise ConfigError(f"waits={asked!r:.80}: give True or False")
    return own if asked is None else asked


def sampling_rates(sampling: Mapping[str, int]) -> dict[int, int]:
    """Return number -> rate; a syscall's own rate beats its family's.

    Raises:
        ConfigError: an unknown name or a negative rate.
    """
    by_family = {f.lower(): f for f in FAMILIES}
    rates: dict[int, int] = {}
    single: dict[int, int] = {}
    for name, rate in sampling.items():
        if rate < 0:
            raise ConfigError(f"sampling {name}={rate}: the rate is 0 (count only), 1 (all) or N (one in N)")
        family = by_family.get(name.lower())
        if family is not None:
            rates |= {c.number: rate for c in SYSCALLS if c.family == family}
            continue
        try:
            single[resolve(name).number] = rate
        except LookupError as error:
            raise ConfigError(_message(error)) from error
    return rates | single


def _words(given: str | Iterable[str] | None) -> list[str]:
    if given is None:
        return []
    parts = given.split(",") if isinstance(given, str) else [w for g in given for w in g.split(",")]
    return [w.strip() for w in parts if w.strip()]


def _joined(given: str | Iterable[str] | None, by: str = ",") -> str:
    return "" if given is None else given if isinstance(given, str) else by.join(given)


def _message(error: LookupError) -> str:
    return str(error.args[0]) if error.args else str(error)


def _command(command: Sequence[str], cwd: str | Path | None, env: Mapping[str, str] | None) -> Command:
    if isinstance(command, str):
        raise ConfigError('command is a list of words, as in ["ls", "-l"]; for a shell line use ["sh", "-c", LINE]')
    words = [os.fspath(w) for w in command]
    if not words or not words[0]:
        raise ConfigError("the command is empty")
    where = Path(cwd).expanduser() if cwd is not None else None
    if where is not None and not where.is_dir():
        raise ConfigError(f"the working directory {str(where)!r} is not there")
    search = (env if env is not None else os.environ).get("PATH", os.defpath)
    name = words[0]
    if os.sep in name and where is not None and not Path(name).is_absolute():
        name = str(where / name)
    path = shutil.which(name, path=search)
    if path is None:
        places = [name] if os.sep in name else [os.path.join(folder, name) for folder in search.split(os.pathsep)]  # noqa: PTH118 - as a shell joins them
        if any(os.path.lexists(place) for place in places):
            raise NoCommand(f"{words[0]}: is there, but is no program that can be executed", 126)
        raise NoCommand(f"{words[0]}: command not found", 127)
    return Command(
        path=str(Path(path).absolute()),
        arguments=tuple(words),
        cwd=str(where) if where else None,
        env=dict(env) if env is not None else None,
    )


def _scope(
    *,
    command: Command | None,
    pid: int | Sequence[int] | None,
    tid: int | None,
    cgroup: str | Path | int | None,
    uid: int | None,
    system: bool,
    follow: bool,
) -> Scope:
    if system:
        return Scope(mode="all")
    if uid is not None:
        if uid < 0:
            raise ConfigError(f"there is no user {uid}")
        return Scope(mode="uid", uid=uid)
    if cgroup is not None:
        return Scope(mode="cgroup", cgroup=_cgroup_id(cgroup))
    if tid is not None:
        if pid is not None and not isinstance(pid, int):
            raise ConfigError(f"thread {tid} is of one process: pid={pid!r:.80} has several, or none")
        return _thread_scope(tid, pid, follow)
    if pid is not None:
        return Scope(pids=_processes(pid), follow=follow)
    return Scope(pids=() if command is not None else (os.getpid(),), follow=follow)


def _processes(asked: int | Sequence[int]) -> tuple[int, ...]:
    pids = (asked,) if isinstance(asked, int) else tuple(asked)
    if not pids or not all(isinstance(pid, int) for pid in pids):
        raise ConfigError(f"pid={asked!r:.80}: give the number of a process, or several")
    for pid in pids:
        if pid <= 0 or not Path(f"/proc/{pid}").exists() or _group_of(pid) != pid:
            raise ConfigError(
                f"there is no process {pid} here (numbers from another pid namespace mean nothing in this one)"
            )
    return pids


def _thread_scope(tid: int, pid: int | None, follow: bool) -> Scope:
    group = _group_of(tid)
    if group is None:
        raise ConfigError(f"there is no thread {tid} here")
    if pid is not None and pid != group:
        raise ConfigError(f"thread {tid} belongs to process {group}, not to {pid}")
    return Scope(pids=(group,), tid=tid, follow=follow)


def _group_of(tid: int) -> int | None:
    """Return the process a thread belongs to, None when there is no such thread."""
    try:
        status = Path(f"/proc/{tid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("Tgid:")), None)


_CGROUP_LEVELS: Final = 63  # the loop of inside() in bpf/scope.c


def _cgroup_id(cgroup: str | Path | int) -> int:
    if isinstance(cgroup, int):
        if cgroup <= 0:
            raise ConfigError(f"{cgroup} is no id of a control group")
        return cgroup
    folder = Path(cgroup)
    try:
        for name in ("cgroup.procs", "cgroup.controllers"):
            (folder / name).stat()
        number = folder.stat().st_ino
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ConfigError(
            f"{str(cgroup)!r:.300} is no folder of a version-2 control group (as under /sys/fs/cgroup)"
        ) from error
    levels = sum((above / "cgroup.procs").exists() for above in folder.resolve().parents)
    if levels > _CGROUP_LEVELS:
        raise ConfigError(
            f"{str(cgroup)!r:.300} is {levels} levels below the first control group, and {_CGROUP_LEVELS} are looked"
            " at; name one above it"
        )
    return number
