"""`Run`: a trace of all hosts of a cluster, from its begin to what can be asked of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from ior_nb.dask import clocks, host
from ior_nb.dask.above import Above
from ior_nb.dask.clocks import Difference
from ior_nb.dask.places import Key, called, here, machine
from ior_nb.dask.plugins import Late, Tasks
from ior_nb.dask.told import Found, Order, Report, Successor, by_place, of_users, topic, words_of
from ior_nb.errors import ConfigError, IorWarning, RecordingError, SourceUnavailable
from ior_nb.real import Lock
from ior_nb.result.load import load, total
from ior_nb.result.sql import Asked, answered
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, Filter, labels, own
from ior_nb.runtime.filter import columns_of
from ior_nb.runtime.text import printable, show_ns
from ior_nb.session.plan import Request, plan
from ior_nb.session.session import engine_name

if TYPE_CHECKING:
    import dask.dataframe
    import pandas as pd
    from distributed import Client

    from ior_nb.dask.live import Cluster
    from ior_nb.session.hosts import Frames
    from ior_nb.widgets.dashboard import Dashboard

__all__ = ["Run", "Wanted"]

_PATIENCE_S: Final = 20.0
"""How long a host that does not answer at the end is asked again: its worker may be starting."""
_AGAIN_S: Final = 0.5
_UNKNOWN: Final = "its filter by label did not know those of the client, which rows were given later"
_LEFT: Final = "its tracing process left before the trace ended"
_UNLABELLED: Final = "its rows do not have the labels of the client"
_USER: Final = 3
"""The frame of whoever has the block: beyond that of `own`, which marks the work as ours."""


class Wanted(TypedDict, total=False):
    """What `ior_nb.dask.trace` hands on to each host; the meaning is that of `ior_nb.trace`."""

    families: str | Sequence[str] | None
    syscalls: str | Sequence[str] | None
    sampling: Mapping[str, int] | None
    filter: str | Filter | None
    stacks: str | None
    waits: bool | None
    record_mode: int | None


@own.all_ours
class Run:
    """A trace of a cluster: a context manager. What it recorded is there after the block.

    Attributes:
        folder: where the recordings are, one for each collector, named HOST-PID.parquet.
        hosts: what came of each; while it runs, how it has begun.

    Args:
        client: of the cluster.
        folder: where the recordings go. Hosts that have the same folder write there; what others record is fetched.
        engine: as of `ior_nb.trace`.
        wanted: what each host traces.

    Raises:
        ConfigError: something asked for is not possible; nothing was started.
    """

    def __init__(self, client: Client, folder: str | Path, engine: str, wanted: Wanted) -> None:
        if client.asynchronous:
            raise ConfigError("the client is asynchronous: give one that is not, as Client(address) makes it")
        if unknown := wanted.keys() - Wanted.__annotations__.keys():
            raise TypeError(
                f"a trace of a cluster has no keyword {min(unknown)!r}; it has {', '.join(Wanted.__annotations__)}"
            )
        engine_name(engine)
        request = cast("Request", wanted)
        planned = plan(**(request | {"pid": os.getpid()}))  # what is wrong is told here, before any host is asked
        self.folder = Path(folder).expanduser().absolute()
        self.hosts: tuple[Report, ...] = ()
        self._client = client
        run = uuid.uuid4().hex
        self._order = Order(run=run, folder=str(self.folder), token=f".ior-nb-{run}", engine=engine, wanted=request)
        self._filter = planned.filter
        self._leaders: dict[Key, str] = {}
        """Collectors that were begun with the trace, and the address of the process."""
        self._later: dict[Key, Successor] = {}
        """Those that went on where another one's process had left."""
        self._guard = Lock()
        self._ended: dict[Key, Report] = {}
        self._running = False
        self._views: list[Cluster] = []
        self._said: list[tuple[int, str]] = []
        self._clock: Difference | None = None

    # ---- begin

    def __enter__(self) -> Run:
        if self.hosts:
            raise ConfigError("this trace of a cluster has been used; make another one")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._token.touch(exist_ok=False)
        except OSError as error:
            raise RecordingError(f"cannot record to {self.folder}: {error.strerror}. Choose another folder.") from error
        try:
            self._begin()
        except BaseException:
            self._take_back()
            raise
        for report in self.hosts:
            if report.problem:
                warnings.warn(f"{report.host} is not traced: {report.problem}", IorWarning, stacklevel=_USER)
        return self

    def _begin(self) -> None:
        client = self._client
        servers = self._servers()
        if not servers:
            raise ConfigError("the cluster has no workers: wait for them (client.wait_for_workers) before it is traced")
        answers = client.run(host.find, workers=servers, on_error="return")
        found = {address: one for address, one in answers.items() if isinstance(one, Found)}
        broken = [
            Report(host=a, place=a, pid=0, problem=words_of(one))
            for a, one in answers.items()
            if not isinstance(one, Found)
        ]
        places = by_place(found)
        pids = {place: tuple({one.pid: None for _, one in there}) for place, there in places.items()}
        self._order = replace(self._order, pids=pids)
        self._on_scheduler(clocks.answering(self._order.run, client.id))
        client.register_plugin(Tasks(self._order))
        client.subscribe_topic(topic(self._order.run), lambda event: self._heard(event[1]))
        self._running, self._said = True, labels.follow()
        begun = self._begun(places)
        client.register_plugin(Late(self._order))
        self.hosts = (*broken, *begun)
        if all(report.problem for report in self.hosts):
            lines = "; ".join(f"{report.host}: {report.problem}" for report in self.hosts)
            raise SourceUnavailable(f"no host of the cluster can be traced: {lines}")

    def _servers(self) -> list[str]:
        """Return the addresses of all nannies, and of the workers without one; the lowest worker first."""
        known = self._client.scheduler_info(n_workers=-1).get("workers", {})  # a client that has lost it knows none
        first = sorted(known.items(), key=lambda one: (str(type(one[1]["id"])), one[1]["id"]))
        return list(dict.fromkeys(about["nanny"] or address for address, about in first))

    def _begun(self, places: Mapping[str, Sequence[tuple[str, Found]]]) -> list[Report]:
        """Begin in one process of each place; where that may not trace, in one of the next user there."""
        reports: dict[str, Report] = {}
        left = {place: of_users(there) for place, there in places.items()}
        while turn := {place: users.pop(0) for place, users in left.items() if users}:
            addresses = [address for address, _ in turn.values()]
            answers = self._client.run(host.begin, self._order, workers=addresses, on_error="return")
            for place, (address, one) in turn.items():
                answer = answers.get(address)
                if not isinstance(answer, Report):
                    answer = Report(host=one.host, place=place, pid=one.pid, problem=words_of(answer))
                if not answer.problem:
                    left[place] = []
                    self._leaders[place, one.pid] = address
                if not answer.problem or place not in reports:
                    reports[place] = answer
        return list(reports.values())

    # ---- end

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._end()
        finally:
            self._take_back()
        for report in self.hosts:
            if report.problem or not report.accounting.complete:
                warnings.warn(report.line(), IorWarning, stacklevel=_USER)

    def _end(self) -> None:
        begun = {report.key: report for report in self.hosts}
        self._ended = {key: report for key, report in begun.items() if report.problem}
        above, why = Above(), "the client was closed before the block ended"
        try:
            if self._is_open():
                above = self._above()
                why = self._asked(above, begun)
        except Exception as error:  # what a client says that has lost its scheduler is of many kinds
            why = f"the client has lost the cluster ({words_of(error)})"
        begun |= {key: one.report for key, one in self._later.items()}
        unended = [self._unended(report, why) for key, report in begun.items() if key not in self._ended]
        self._running = False
        late = above and "label" in columns_of(self._filter)
        self.hosts = tuple(
            replace(report, notes=(*report.notes, _UNKNOWN)) if late and not _is_here(report) else report
            for report in (*self._ended.values(), *unended)
        )
        later = [report.key for report in self.hosts]
        for view in self._views:
            view.end({called(one.key, self._leaders, later): one.last for one in self.hosts if one.last is not None})

    def _asked(self, above: Above, first: Mapping[Key, Report]) -> str:
        """Have all hosts end their traces; return why one did not that had to."""
        ended, deadline, why = self._ended, time.monotonic() + _PATIENCE_S, "it did not answer"
        while True:
            last, known = time.monotonic() > deadline, self._servers()
            silent = set(self._on_scheduler(clocks.unreached(list(self._leading().values()))))
            self._told_before()  # whoever is not there any more has told all it ever will
            begun = {**first, **{key: one.report for key, one in self._later.items()}}
            for key, address in self._leading().items():
                if address in silent.difference(known):
                    ended[key] = self._unended(begun[key], "its process is gone, as one that was killed")
            leading = self._leading().values()
            servers = [a for a in dict.fromkeys([*leading, *known]) if last or a not in silent]
            answers = self._client.run(host.end, self._order.run, above, workers=servers, on_error="return")
            for address, answer in answers.items():
                if isinstance(answer, Report):
                    alone = not answer.shared and answer.size and not answer.left
                    ended[answer.key] = self._fetched(answer, address) if alone else answer
                elif answer is not None and address in leading:
                    why = words_of(answer)
            notes = self._told_before()  # a host may have left while it was asked
            if {*begun, *self._later} <= ended.keys() or last:
                break
            time.sleep(_AGAIN_S)
        for key, report in ended.items():
            there = self._of_one_that_left(report, bool(above)) if report.left else report
            ended[key] = replace(there, notes=(*there.notes, *notes.get(report.host, ())))
        return why

    def _leading(self) -> dict[Key, str]:
        """Return the collectors that were begun and have not ended, and their addresses."""
        begun = self._leaders | {key: one.address for key, one in self._later.items()}
        return {key: address for key, address in begun.items() if key not in self._ended}

    def _told_before(self) -> dict[str, list[str]]:
        """Take what hosts that left in the middle have told; return what is to be noted of hosts."""
        client: Any = self._client
        notes: dict[str, list[str]] = {}
        for _, message in client.get_events(topic(self._order.run)) or ():
            told = self._heard(message)
            if isinstance(told, Report):
                self._ended.setdefault(told.key, told)  # its answer may have come as well
            elif not isinstance(told, Successor):
                notes.setdefault(told[0], []).append(told[1])
        return notes

    def _heard(self, message: bytes) -> Any:
        """Return what a host has told; of one that goes on, keep it."""
        told = pickle.loads(message)  # from our own hosts, as all that Dask brings
        if isinstance(told, Successor):
            with self._guard:  # the client's loop may hear it while another thread goes through those there are
                self._later = {told.report.key: told} | self._later
        return told

    def _went_on(self, report: Report) -> Successor | None:
        """Return who went on when this collector was there no more."""
        return next((one for one in self._later.values() if one.before == report.key), None)

    def _of_one_that_left(self, report: Report, labelled: bool) -> Report:
        """Return the report of a collector that is there no more, with what that means."""
        successor = self._went_on(report)
        after = successor.line() if successor else "what any worker did there later is not traced"
        missing = (f"{_LEFT}, and {after}", *([_UNLABELLED] if labelled else ()))
        report = replace(report, notes=(*report.notes, *missing))
        if report.shared or not report.size:
            return report
        if successor:
            return self._fetched(report, successor.address)
        problem = f"it left without the folder of the trace; its recording is there, in {report.path}"
        return replace(report, problem=problem, size=0)

    def _unended(self, report: Report, why: str) -> Report:
        """Return what is known of a host whose trace nobody ended."""
        where = f"in {self.folder}" if report.shared else f"on that host, in {Path(report.path).parent}"
        problem = (
            f"nobody ended its trace: {why}. Its rows are missing here; what it wrote is {where} (ior_nb.load reads "
            f"ior-....tmp as well), and what its workers noted of tasks may be on that host still, in {report.spools}"
        )
        if successor := self._went_on(report):
            problem += f"; {successor.line()}"
        return replace(report, problem=problem)

    def _above(self) -> Above:
        """Return the shared labels of this process, by the scheduler's clock."""
        labels.unfollow(self._said)
        if not any(text for _, text in self._said):
            return Above()
        client: Any = self._client
        self._clock = client.sync(clocks.to_scheduler, client, self._order.run)
        return Above.of(self._said, self._clock.offset_ns, machine(), os.getpid())

    def _fetched(self, report: Report, address: str) -> Report:
        """Bring the recording of a host that does not have the folder."""
        target = self.folder / Path(report.path).name
        temporary = target.with_suffix(".part")
        try:
            with temporary.open("xb") as file:
                while file.tell() < report.size:
                    answer = self._client.run(
                        host.piece, report.path, file.tell(), workers=[address], on_error="return"
                    )[address]
                    if not isinstance(answer, bytes) or not answer:
                        raise RecordingError(words_of(answer) if answer else "it ended before its size")
                    file.write(answer)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            why = f"its recording could not be fetched: {error}. It is on that host, in {report.path}"
            return replace(report, problem=why, size=0)
        return replace(report, path=str(target))

    def _take_back(self) -> None:
        """Leave nothing of it on the cluster, as far as that is still there."""
        client: Any = self._client
        run, leaders = self._order.run, list(self._leading().values())
        kept = [str(Path(report.path).parent) for report in self.hosts if report.problem and not report.shared]
        self._running = False
        labels.unfollow(self._said)
        self._token.unlink(missing_ok=True)
        if not self._is_open():
            return
        for step in (
            lambda: client.unsubscribe_topic(topic(run)),
            lambda: client.run(host.end, run, Above(), workers=[*leaders, *self._servers()], on_error="ignore"),
            lambda: client.unregister_worker_plugin(Tasks(self._order).name),
            lambda: client.unregister_worker_plugin(Late(self._order).name, nanny=True),
            lambda: client.run(host.clean, run, kept, workers=self._servers(), on_error="ignore"),
            lambda: self._on_scheduler(clocks.silent(self._order.run)),
        ):
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # ValueError: a plugin it never had
                step()

    def _is_open(self) -> bool:
        return self._client.status not in ("closing", "closed")

    def _on_scheduler(self, work: Callable[..., Any]) -> Any:
        client: Any = self._client
        return client.run_on_scheduler(work)

    @property
    def _token(self) -> Path:
        return self.folder / self._order.token

    # ---- what is shown of it

    def dashboard(self) -> Dashboard:
        """Return a dashboard of all hosts, with a choice of one; it shows their sums once a second, and no rows."""
        from ior_nb.dask.live import Cluster, dashboard

        async def ask(asked: Frames) -> dict[str, Any]:
            client: Any = self._client
            names = self._names()
            wanted = {"workers": list(names), "on_error": "return", "asynchronous": True}
            found = await client.run(host.shown, self._order.run, asked, **wanted)
            return {names[address]: one for address, one in found.items() if one is not None}

        cluster = Cluster(self._client, ask, lambda: self._running, lambda: self.problems, self._filter)
        cluster.wait()
        if self._running:
            self._views.append(cluster)
        return dashboard(cluster)

    def _names(self) -> dict[str, str]:
        """Return what each collector is called, by the address of its process, but those another one went on for."""
        left = {one.before for one in self._later.values()}
        there = {key: address for key, address in self._leading().items() if key not in left}
        return {address: called(key, self._leaders, self._later) for key, address in there.items()}

    @property
    def accounting(self) -> Accounting:
        """Where the calls of all hosts went that were traced."""
        return total([report.accounting for report in self.hosts if not report.problem])

    @property
    def problems(self) -> dict[str, str]:
        """What went wrong, by host."""
        found: dict[str, dict[str, None]] = {}
        for report in self.hosts:
            if report.problem:
                found.setdefault(report.host, {})[report.problem] = None
        return {host: "; ".join(problems) for host, problems in found.items()}

    def lines(self) -> list[str]:
        """Return a line for each host and one for all, safe for a terminal."""
        if self._running:
            return [printable(f"{one.host}: {one.problem or f'being traced with {one.engine}'}") for one in self.hosts]
        found = [printable(report.line()) for report in self.hosts]
        errors = [report.clock_error_ns for report in self.hosts if not report.problem]
        errors += [self._clock.error_ns] if self._clock is not None else []
        if any(not report.problem for report in self.hosts):
            clock = f"clocks to within {show_ns(max(errors))}" if min(errors, default=-1) >= 0 else "clocks as they are"
            without = f" but {', '.join(self.problems)}" if self.problems else ""
            found.append(f"all hosts{printable(without)}: {self.accounting.line()}; {clock}")
        return found

    def __repr__(self) -> str:
        return "\n".join([f"<Run in {printable(str(self.folder))}", *self.lines()]) + ">"

    # ---- what can be asked of it

    def trace(self, *, filter: str | Filter | None = None) -> Trace:  # noqa: A002 - the field's own word
        """Return all recordings as one trace.

        Raises:
            ConfigError: it still runs.
        """
        return load(self._files(), filter=filter)

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer of DuckDB to a query, in which `trace` is all rows on one time axis."""
        return answered(query, Asked.of(self.trace()))

    def frame(self) -> dask.dataframe.DataFrame:
        """Return the rows as a DataFrame of Dask, read by the workers: what they were traced with needs that folder."""
        import dask.dataframe

        frame: dask.dataframe.DataFrame = dask.dataframe.read_parquet([str(path) for path in self._files()])
        return frame

    def _files(self) -> list[Path]:
        if self._running:
            raise ConfigError("the trace of the cluster is still running; its rows are there after the `with` block")
        files = [Path(report.path) for report in self.hosts if report.size]
        if not files:
            raise ConfigError(f"there is no recording: {'; '.join(self.lines()) or 'nothing was traced yet'}")
        return files


def _is_here(report: Report) -> bool:
    """Whether the collector was begun in this process, whose labels are known to it as they come."""
    return report.key == here()
