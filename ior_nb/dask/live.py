"""The dashboard of a cluster: once a second each host is asked for its sums, which the views then show as one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ior_nb.dask.told import Shown
from ior_nb.errors import ConfigError, SourceError
from ior_nb.globalfilter import Filters
from ior_nb.real import Lock, RLock
from ior_nb.result.load import total
from ior_nb.runtime import (
    Completeness,
    Filter,
    FlameSource,
    PageState,
    ProbeControl,
    RecordingState,
    SnapshotSource,
    StreamTail,
    TraceState,
)
from ior_nb.runtime.sheet import sheet_from_bytes, tree_from_bytes
from ior_nb.runtime.text import show_count
from ior_nb.session.bindings import Bindings
from ior_nb.session.controls import Control
from ior_nb.session.hosts import Frames, Hosts
from ior_nb.session.session import default_session
from ior_nb.widgets.dashboard import Dashboard

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Ask", "Cluster", "dashboard"]

Ask = Callable[[Frames], Coroutine[Any, Any, Mapping[str, Any]]]
"""Asks the hosts, with the frames of the flame graph, on the loop of the client: what each shows, by its name."""

_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_PANELS: Final = ("overview", "flame", "syscalls", "files", "processes", "lines")
"""What sums are enough for."""
_ELSEWHERE: Final = "narrow what was recorded instead: run.trace().filter(...) when the trace has ended"


class _Fixed(Filters):
    """The filter each host began with: it cannot be changed from here."""

    def set(self, filter: Filter, label: str = "") -> bool:  # noqa: A002 - the field's own word
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the filter of a cluster is that its trace began with (filter=); {_ELSEWHERE}")

    def undo(self) -> bool:
        """Refuse: there is nothing to take back."""
        return False


class _Recording:
    """`runtime.RecordingControl`: every host records, and nothing else can."""

    def start(self, path: str = "") -> Path:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("every host of the cluster records already: the folder of the trace has it when it has ended")

    def stop(self) -> Path | None:
        """Refuse: the trace does that."""
        return None

    def status(self) -> RecordingState:
        """Return that nothing else is recorded."""
        return RecordingState()


class Cluster:
    """`runtime.LiveRuntime` and `runtime.HostsTrace` of a cluster. Any thread may call any method.

    Args:
        client: of the cluster.
        ask: what asks the hosts.
        running: whether the trace goes on.
        problems: what went wrong, by host.
        filter: what each host records.
    """

    filters: Filters

    def __init__(
        self,
        client: Client,
        ask: Ask,
        running: Callable[[], bool],
        problems: Callable[[], Mapping[str, str]],
        filter: Filter | None = None,  # noqa: A002 - the field's own word
    ) -> None:
        self._client, self._ask, self._running, self._problems = client, ask, running, problems
        self._bindings = Bindings(1)
        self._asked: Frames = (("comm", "syscall", "path"), "count", "")
        self._hosts = Hosts(self._bindings, self._make, self._asked)
        self.filters = _Fixed(lambda: self._bindings.stream().snapshot(), filter, RLock())
        self.recording = _Recording()
        self._bindings.set_live_trace(self)
        self.control = Control(default_session(), self._bindings)
        self._guard = Lock()
        self._last = 0.0
        self._waiting: Future[Mapping[str, Any]] | None = None
        self._known: dict[str, Shown] = {}
        self._ended: frozenset[str] = frozenset()
        self._failure = ""

    def _make(self, asked: Frames) -> None:
        self._asked = asked

    # ---- LiveRuntime

    def statistics(self) -> SnapshotSource | None:
        """Return those of all hosts, or of the one that was chosen; None before one has answered."""
        return self._bindings.statistics() if self._known else None

    def stream(self) -> StreamTail:
        """Return an empty one: rows stay where they are."""
        return self._bindings.stream()

    def trie(self) -> FlameSource | None:
        """Return that of all hosts, or of the one that was chosen; None before one has answered."""
        return self._bindings.trie() if self._known else None

    def probes(self) -> ProbeControl | None:
        """Return None: what is traced was said at the begin."""
        return None

    def update(self) -> None:
        """Take what the hosts have answered, and ask them again once a second. Waits for nobody."""
        with self._guard:
            waiting, now = self._waiting, time.monotonic()
            if waiting is not None and waiting.done():
                self._waiting = None
                self._take(waiting)
            if self._waiting is None and now - self._last >= _EVERY_S and self._running():
                self._last = now
                loop: Any = self._client.loop
                self._waiting = asyncio.run_coroutine_threadsafe(self._ask(self._asked), loop.asyncio_loop)

    def wait(self) -> None:
        """Have asked once, so that there is something to show."""
        self.update()
        if (waiting := self._waiting) is not None:
            with contextlib.suppress(Exception):  # `update` tells
                waiting.result(_PATIENCE_S)
            self.update()

    def end(self, last: Mapping[str, Shown]) -> None:
        """Show from now on what the hosts said when their traces had ended; of the others what they said before."""
        with self._guard:
            self._waiting, self._ended, self._failure = None, frozenset(last), ""
            self._show(last)

    def _take(self, answer: Future[Mapping[str, Any]]) -> None:
        self._failure = ""
        try:
            answers = answer.result()
        except (OSError, RuntimeError) as error:
            self._failure = f"the cluster does not answer: {error}"
            return
        self._show(answers)

    def _show(self, answers: Mapping[str, Any]) -> None:
        for name, found in answers.items():
            try:
                if not isinstance(found, Shown):
                    raise SourceError(str(found))
                base = next(iter(self._known.values()), found).ahead_ns
                sheet, tree = sheet_from_bytes(found.sheet), tree_from_bytes(found.tree)
                self._hosts.take(name, sheet, tree, ahead_ns=found.ahead_ns - base)
                self._known[name] = found
            except SourceError as error:
                self._failure = f"{name} does not answer: {error}"

    # ---- HostsTrace

    def state(self) -> TraceState:
        """Return what is going on."""
        chosen, running = self._hosts.host, self._running()
        known = [found for name, found in self._known.items() if chosen in ("", name)]
        books = total([found.accounting for found in known])
        notes = [f"{host} is not traced: {problem}" for host, problem in self._problems().items()]
        if early := [] if running else sorted(self._known.keys() - self._ended):
            notes.append(f"{', '.join(early)} as asked last; run.trace() has what came by the end")
        return TraceState(
            running=running,
            title=chosen or f"a cluster of {show_count(len({found.place for found in known}), 'host')}",
            engine=", ".join(dict.fromkeys(found.engine for found in known)),
            rows=books.emitted,
            elapsed_s=max((found.elapsed_ns for found in known), default=0) / 1e9,
            completeness=Completeness(accounting=books, running=running),
            notes=tuple(filter(None, [*notes, self._failure])),
            fixed=True,
            hosts=self._hosts.names,
            host=chosen,
        )

    def choose(self, host: str) -> None:
        """Show one host; empty for all."""
        self._hosts.choose(host)

    def reset(self) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("what a cluster has done is counted from the begin of its trace on")

    def stop(self) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("the trace of the cluster ends with its `with` block")

    def pages(self, paths: Sequence[str]) -> Mapping[str, PageState]:
        """Return nothing: the caches are those of the hosts."""
        return {}

    def export(self, path: str, wanted: Filter) -> Path:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the rows of a cluster are on its hosts; {_ELSEWHERE}")


def dashboard(cluster: Cluster) -> Dashboard:
    """Return the ordinary dashboard of a cluster."""
    return Dashboard(cluster, _PANELS)
