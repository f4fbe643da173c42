"""The dashboard of a cluster: once a second each host is asked for its sheet, and the sheets are added up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ior_nb.dask.host import Shown
from ior_nb.errors import ConfigError, SourceError
from ior_nb.globalfilter import Filters
from ior_nb.real import Lock, RLock
from ior_nb.result.load import total
from ior_nb.runtime import (
    Completeness,
    Filter,
    FlameSource,
    ProbeControl,
    RecordingState,
    Sheet,
    Snapshot,
    SnapshotSource,
    StreamTail,
    TraceState,
)
from ior_nb.runtime.sheet import merged, sheet_from_bytes, shown
from ior_nb.session.bindings import Bindings
from ior_nb.session.controls import Control
from ior_nb.session.session import default_session
from ior_nb.widgets.dashboard import Dashboard
from ior_nb.widgets.ticker import ticker

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ALL", "Cluster", "dashboard"]

ALL: Final = "all hosts"
_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_TOP: Final = 256
_PANELS: Final = ("overview", "syscalls", "files", "processes", "lines")
"""What sheets are enough for."""
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
    """`runtime.LiveRuntime` and `runtime.LiveTrace` of the hosts of a cluster. Any thread may call any method.

    Args:
        client: of the cluster.
        ask: what asks the hosts, on the loop of the client: what each shows, by its name.
        running: whether the trace goes on.
        problems: what went wrong, by host.
    """

    filters: Filters

    def __init__(
        self,
        client: Client,
        ask: Callable[[], Coroutine[Any, Any, Mapping[str, Any]]],
        running: Callable[[], bool],
        problems: Callable[[], Mapping[str, str]],
    ) -> None:
        self._client, self._ask, self._running, self._problems = client, ask, running, problems
        self._bindings = Bindings(1)
        self.filters = _Fixed(lambda: self._bindings.stream().snapshot(), None, RLock())
        self.recording = _Recording()
        self._bindings.set_live_trace(self)
        self.control = Control(default_session(), self._bindings)
        self._guard = Lock()
        self._asked = 0.0
        self._waiting: Future[Mapping[str, Any]] | None = None
        self._known: dict[str, tuple[Shown, Sheet]] = {}
        self._failure = ""
        self.host = ALL
        """Whose calls are shown."""

    def hosts(self) -> list[str]:
        """Return the names of the hosts there are by now."""
        return sorted(self._known)

    # ---- LiveRuntime

    def statistics(self) -> SnapshotSource | None:
        """Return itself, where a host has answered."""
        return self if self._known else None

    def stream(self) -> StreamTail:
        """Return an empty one: rows stay where they are."""
        return self._bindings.stream()

    def trie(self) -> FlameSource | None:
        """Return None: there is none of several hosts."""
        return None

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
            if self._waiting is None and now - self._asked >= _EVERY_S and self._running():
                self._asked = now
                loop: Any = self._client.loop
                self._waiting = asyncio.run_coroutine_threadsafe(self._ask(), loop.asyncio_loop)

    def wait(self) -> None:
        """Have asked once, so that there is something to show."""
        self.update()
        if (waiting := self._waiting) is not None:
            with contextlib.suppress(Exception):  # `update` tells
                waiting.result(_PATIENCE_S)
            self.update()

    def _take(self, answer: Future[Mapping[str, Any]]) -> None:
        self._failure = ""
        try:
            answers = answer.result()
        except (OSError, RuntimeError) as error:
            self._failure = f"the cluster does not answer: {error}"
            return
        for name, found in answers.items():
            try:
                if not isinstance(found, Shown):
                    raise SourceError(str(found))
                self._known[name] = found, sheet_from_bytes(found.sheet)
            except SourceError as error:
                self._failure = f"{name} does not answer: {error}"

    # ---- SnapshotSource

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot | None:
        """Return the statistics of the host that was chosen, or of all of them."""
        known = self._chosen()
        if not known:
            return None
        first = next(iter(known.values()))[0].ahead_ns
        sheets = [sheet.of_host(name, one.ahead_ns - first) for name, (one, sheet) in known.items()]
        return shown(merged(sheets), top=_TOP if top is None else top, by=by)

    def _chosen(self) -> dict[str, tuple[Shown, Sheet]]:
        return {name: one for name, one in self._known.items() if self.host in (ALL, name)}

    # ---- LiveTrace

    def state(self) -> TraceState:
        """Return what is going on."""
        known, running = self._chosen(), self._running()
        books = total([one.accounting for one, _ in known.values()])
        notes = [f"{host} is not traced: {problem}" for host, problem in self._problems().items()]
        return TraceState(
            running=running,
            title=f"the cluster, {len(self._known)} hosts" if self.host == ALL else self.host,
            engine=", ".join(dict.fromkeys(one.engine for one, _ in known.values())),
            rows=books.emitted,
            elapsed_s=max((sheet.elapsed_ns for _, sheet in known.values()), default=0) / 1e9,
            completeness=Completeness(accounting=books, running=running),
            notes=tuple(filter(None, [*notes, self._failure])),
            fixed=not running,
        )

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

    def export(self, path: str, wanted: Filter) -> Path:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the rows of a cluster are on its hosts; {_ELSEWHERE}")


def dashboard(cluster: Cluster) -> Dashboard:
    """Return the ordinary dashboard of a cluster, with a choice of the host above it."""
    import ipywidgets

    def choose(change: Mapping[str, Any]) -> None:
        cluster.host = change["new"]
        ticker.do(lambda: ticker.refresh_now(cluster))

    board = Dashboard(cluster, _PANELS)
    chosen = ipywidgets.Dropdown(options=[ALL, *cluster.hosts()], description="Host")
    chosen.observe(choose, "value")
    board.widget.children = (chosen, *board.widget.children)
    return board
