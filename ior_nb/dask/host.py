"""What runs on a host: one trace for all its workers, in the process that holds their nannies, or in one of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import platform
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from distributed import Nanny, Status

from ior_nb.dask import clocks
from ior_nb.dask.above import Above
from ior_nb.dask.clocks import Difference
from ior_nb.dask.leading import Leading, Turn, begun_at, still_there, turn
from ior_nb.dask.places import clear_forgotten, file_name, machine, place, recorded, spools
from ior_nb.dask.spans import ENDING, Noted, read
from ior_nb.dask.stamp import stamp
from ior_nb.dask.told import LATE, TASKS, Found, Order, Report, Shown, Successor, topic
from ior_nb.errors import IorError, SourceUnavailable
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, own
from ior_nb.runtime.clock import boot_clock, moment
from ior_nb.runtime.sheet import sheet_to_bytes, tree_to_bytes
from ior_nb.session.choice import Choice, best, made
from ior_nb.session.hosts import Frames
from ior_nb.session.plan import Request, plan
from ior_nb.session.run import Run
from ior_nb.session.session import TracerSession
from ior_nb.session.window import Window

__all__ = [
    "begin",
    "clean",
    "end",
    "find",
    "join",
    "leave",
    "piece",
    "shown",
    "tell",
]

_PIECE: Final = 8 << 20
_LOOK_S: Final = 20.0
_LOOKS: Final = 3
"""How often a client has to be missing, one look after the other, until it is gone: its connection may come back."""
_GOES: Final = (Status.closing, Status.closing_gracefully, Status.closed)
_LOG: Final = logging.getLogger("distributed.ior_nb")  # where workers' logs go


class _Host:
    """The trace of one host."""

    def __init__(self, order: Order, pids: Sequence[int]) -> None:
        self.order, self.pids = order, pids
        self.clock = Difference()
        self.problem = ""
        self.shared = Path(order.folder, order.token).exists() and os.access(order.folder, os.W_OK | os.X_OK)
        folder = Path(order.folder) if self.shared else recorded(order.run)
        self.target = folder / file_name(order.pids)
        self.session = TracerSession()
        self.window: Window | None = None
        self.leading: Leading | None = None
        self.beginning: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[Report] | None = None
        self.after = self.late_ns = 0
        self._since = boot_clock()
        self._last: Shown | None = None
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the trace; what is in the way stands in `problem`."""
        try:
            self.target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            wanted: Request = {
                **self.order.wanted,
                "pid": self.pids,
                "record": self.target.with_name(f".{self.target.name}"),
                "keep_rows": False,
                "title": platform.node(),
            }
            # Without recordings that stand in for a trace: of a cluster there is nothing to be played back.
            chosen = best() if self.order.engine == "auto" else Choice(made(self.order.engine))
            self.session = TracerSession(engine=chosen.engine)
            self.session.why = chosen.why
            if chosen.engine.replays:
                raise SourceUnavailable("a recording is no trace of a cluster")
            self.window = Window(self.session, plan(**wanted))
            self.window.__enter__()
        except (IorError, OSError) as error:
            self.window, self.problem = None, str(error)
            with contextlib.suppress(IorError):
                self.session.close()

    def watch(self, server: Any) -> None:
        """End the trace when its client has gone without that."""
        self._watch = asyncio.create_task(_watch(self.order, server))

    def unwatch(self) -> None:
        """The trace ends."""
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()

    @property
    def report(self) -> Report:
        """What can be told now."""
        return Report(
            host=platform.node(),
            place=place(),
            pid=os.getpid(),
            problem=self.problem,
            engine=self.session.engine_name,
            path=str(self.target),
            shared=self.shared,
            spools=str(spools(self.order.run)),
            notes=self.trace.notes if self.window is not None else (),
            after=self.after,
            late_ns=self.late_ns,
        )

    @property
    def trace(self) -> Trace:
        """The trace itself."""
        assert self.window is not None
        return self.window.trace

    def shown(self, asked: Frames) -> Shown | None:
        """Return what there is so far; None where nothing is traced any more."""
        run = self.session.running
        if run is None:
            return None
        self.session.update()
        fields, metric, second = asked
        trie = run.trie
        if trie.fields != fields:
            trie.reconfigure(fields)
        trie.set_count_field(metric)
        trie.set_height_field(second)
        return self._sums(run, run.completeness().accounting)

    def _sums(self, run: Run, accounting: Accounting) -> Shown:
        now, sheet = moment(), run.statistics.sheet()
        return Shown(
            place=place(),
            sheet=sheet_to_bytes(sheet),
            tree=tree_to_bytes(run.trie.tree()),
            elapsed_ns=sheet.elapsed_ns,
            accounting=accounting,
            engine=self.session.engine_name,
            ahead_ns=now.wall - now.boot + self.clock.offset_ns,
        )

    def stop(self) -> None:
        """End the trace; what is in the way stands in `problem`."""
        if self.window is None:
            return
        run = self.session.running
        try:
            self.window.end()
            self._last = self._sums(run, self.trace.accounting) if run is not None else None
        except (IorError, OSError) as error:
            self.problem = f"the trace ended badly: {error}"

    def end(self, clock: Difference, above: Above) -> Report:
        """Give the rows of a trace that was stopped their tasks."""
        if self.window is None:
            return self.report
        try:
            if not self.problem:
                noted = read(sorted(spools(self.order.run).glob(f"*{ENDING}")), since=self._since if self.after else 0)
                return replace(self._stamped(noted, clock, above), last=self._last)
        except (IorError, OSError) as error:
            self.problem = f"the trace ended badly: {error}"
        finally:
            with contextlib.suppress(IorError):
                self.session.close()
        return replace(self.report, accounting=self.trace.accounting)

    def _stamped(self, noted: Noted, clock: Difference, above: Above) -> Report:
        trace = self.trace
        report = replace(
            self.report,
            accounting=trace.accounting,
            tasks=noted.tasks,
            workers=tuple(worker.address for worker in noted.workers),
            unstamped=noted.unstamped,
            missed=noted.missed,
            clock_error_ns=max(self.clock.error_ns, clock.error_ns) if clock.error_ns >= 0 else self.clock.error_ns,
        )
        if trace.recording is None:
            return replace(report, problem=trace.recording_error or "there is no recording")
        try:
            made = stamp(trace.recording, self.target, noted, self.clock, clock, above, machine())
        except (IorError, OSError) as error:
            trace.recording.replace(self.target)  # whose rows are all there
            why = f"its rows have no tasks, for they could not be written anew: {error}"
            return replace(report, notes=(*report.notes, why), size=self.target.stat().st_size)
        trace.recording.unlink()
        return replace(
            report,
            rows=made.rows,
            with_task=made.with_task,
            size=made.path.stat().st_size,
            problem=trace.recording_error,
        )


_hosts: dict[str, _Host] = {}
"""Those of this process, by the run."""
_servers: dict[str, dict[str, Any]] = {}
"""The nannies of this process, and its workers without one, by the run and by their addresses."""
_following: dict[str, asyncio.Task[None]] = {}
"""What waits to go on with the trace of another process, by the run."""


def _open_one(run: str, server: Any) -> Any:
    """Return what of this process still speaks with the scheduler: this server, or another one."""
    known = [server, *_servers.get(run, {}).values()]
    return next((one for one in known if one.status not in _GOES), server)


def _forget(run: str) -> None:
    """Let a trace of this process be none of its any more, so that another process may have it."""
    host = _hosts.pop(run, None)
    if host is not None and host.leading is not None:
        host.leading.give_up()


# ---- what the client asks for. Each runs on the event loop of a nanny or a worker, which must not wait


@own.ours
def find(dask_worker: Any) -> Found:
    """Return where this is."""
    return Found(platform.node(), place(), os.getpid(), os.geteuid(), nanny=isinstance(dask_worker, Nanny))


async def begin(order: Order, dask_worker: Any) -> Report | None:
    """Start the trace of this host; None where it is none of those the order is for, or has one."""
    pids = order.pids.get(place(), ())
    if os.getpid() not in pids or order.run in _hosts:
        return None
    _unfollow(order.run)
    leading = None
    with contextlib.suppress(OSError):  # without the name nobody goes on when this process leaves
        leading = Leading(order.run)
    report = await _begin(order, pids, dask_worker, leading)
    if report.problem:
        _forget(order.run)  # it has been told, and another process of this host may try
        _follow(order, dask_worker)
    return report


async def join(order: Order, server: Any) -> None:
    """A nanny, or a worker without one, is here.

    If it has come later, trace it too, unless that is done already. If it was there, another process traces it: go on
    when that one leaves.
    """
    _servers.setdefault(order.run, {})[server.address] = server
    if order.run in _hosts:
        return
    if os.getpid() in order.pids.get(place(), ()):
        _follow(order, server)
    else:
        await _begin(order, (os.getpid(),), server)


def _follow(order: Order, server: Any) -> None:
    if order.run not in _following:
        _following[order.run] = asyncio.create_task(_go_on(order, server))


def _unfollow(run: str) -> None:
    """Leave the trace of another process to others."""
    if (task := _following.pop(run, None)) is not None and run not in _hosts:
        task.cancel()


async def _go_on(order: Order, server: Any) -> None:
    """Trace this place when the process has left that did, and this is the next."""
    known = begun_at(order.pids[place()])
    mine = await turn(order.run)
    report = await _begin(order, still_there(known), server, mine.leading, mine)
    server = _open_one(order.run, server)
    if report.problem:
        _forget(order.run)
        why = f"process {os.getpid()} could not go on with its trace: {report.problem}"
        await tell(server, order.run, (platform.node(), why))
    else:
        await tell(server, order.run, Successor(server.address, report))


async def _begin(
    order: Order, pids: Sequence[int], server: Any, leading: Leading | None = None, mine: Turn | None = None
) -> Report:
    host = _hosts[order.run] = own.ours(_Host)(order, pids)
    host.leading = leading
    host.beginning = asyncio.create_task(_started(host, server, mine))
    await asyncio.shield(host.beginning)
    if leading is not None and not host.problem:
        leading.begun()
    if not host.problem and host.ending is None:
        host.watch(server)
    return host.report


async def _started(host: _Host, server: Any, mine: Turn | None) -> None:
    asked = clocks.to_scheduler(server, host.order.run)
    host.clock, _ = await asyncio.gather(asked, asyncio.to_thread(own.ours(host.begin)))
    if mine is not None:
        host.after, host.late_ns = mine.after, boot_clock() - mine.since


async def leave(run: str, server: Any) -> None:
    """A nanny, or a worker without one, goes, or its plugin does: with the last of its process the trace ends.

    The client is told also where it has asked: an answer is lost when its server closes.
    """
    here = _servers.get(run, {})
    here.pop(server.address, None)
    if here:
        return
    _servers.pop(run, None)
    _unfollow(run)
    leading = _hosts[run].leading if run in _hosts else None
    is_followed = leading is not None and leading.is_followed
    report = await end(run, Above(), server, left=True)
    _forget(run)
    if report is not None and server.status in _GOES:
        if not is_followed:
            shutil.rmtree(spools(run), ignore_errors=True)  # the client cannot reach this host any more
        await tell(server, run, replace(report, last=None))


async def _watch(order: Order, server: Any) -> None:
    """End the trace when its client is gone, as when a notebook's kernel is restarted: nobody else would, ever."""
    gone = 0
    while gone < _LOOKS:
        await asyncio.sleep(_LOOK_S)
        server = _open_one(order.run, server)
        gone = 0 if await clocks.client_is_there(server, order.run) else gone + 1
    report = await end(order.run, Above(), server)
    for remove, name in (("unregister_nanny_plugin", LATE), ("unregister_worker_plugin", TASKS)):
        with contextlib.suppress(Exception):  # another host has done it, or the scheduler is gone, too
            await getattr(server.scheduler, remove)(name=name + order.run)
    shutil.rmtree(spools(order.run), ignore_errors=True)
    with contextlib.suppress(OSError):
        Path(order.folder, order.token).unlink(missing_ok=True)
    if report is not None:
        _LOG.warning("The client of a trace is gone, so that has ended. %s; it is in %s", report.line(), report.path)


async def tell(server: Any, run: str, what: Report | Successor | tuple[str, str]) -> None:
    """Tell the client what became of this host, that another process has gone on, or what is to be noted of one."""
    with contextlib.suppress(Exception):  # the scheduler is gone, and with it whoever could read that
        await server.scheduler.log_event(topic=topic(run), msg=pickle.dumps(what))


async def shown(run: str, asked: Frames, dask_worker: Any) -> Shown | None:
    """Return what this host shows, with a flame graph of these frames; None where nothing is traced."""
    host = _hosts.get(run)
    if host is None or host.window is None or host.ending is not None:
        return None
    return await asyncio.to_thread(own.ours(host.shown), asked)


async def end(run: str, above: Above, dask_worker: Any, *, left: bool = False) -> Report | None:
    """End the trace of this process, whose rows stand below these labels; who asks later is given the same report."""
    if (host := _hosts.get(run)) is None:
        _unfollow(run)
        return None
    if host.ending is None:
        host.unwatch()
        host.ending = asyncio.create_task(_end(host, above, dask_worker, left))
    return await asyncio.shield(host.ending)  # who asks may go, and takes nothing from the others


async def _end(host: _Host, above: Above, server: Any, left: bool) -> Report:
    if host.beginning is not None:
        await asyncio.wait([host.beginning])
    clock = await clocks.to_scheduler(server, host.order.run)
    await asyncio.to_thread(own.ours(host.stop))
    if left and host.leading is not None and server.status in _GOES:
        host.leading.give_up()
    return replace(await asyncio.to_thread(own.ours(host.end), clock, above), left=left)


@own.ours
def piece(path: str, begin: int) -> bytes:
    """Return a piece of a recording, for a client that does not have the folder."""
    with Path(path).open("rb") as file:
        file.seek(begin)
        return file.read(_PIECE)


@own.ours
def clean(run: str, kept: Collection[str]) -> None:
    """Remove what lay on this host for the time of the trace, but for folders with recordings that nobody has."""
    _forget(run)
    shutil.rmtree(spools(run), ignore_errors=True)
    clear_forgotten()
    folder = recorded(run)
    if str(folder) not in kept:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
