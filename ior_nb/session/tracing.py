"""What users call: `trace` a block of code, a command or a process, and open a `dashboard`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

from ior_nb.errors import ConfigError
from ior_nb.result.trace import Trace
from ior_nb.runtime import own
from ior_nb.session.past import Past
from ior_nb.session.plan import Request, parameters, plan
from ior_nb.session.session import TracerSession, default_session, engine_name
from ior_nb.session.window import Window

if TYPE_CHECKING:
    from ior_nb.widgets.dashboard import Dashboard

__all__ = ["dashboard", "shows", "trace"]


@own.ours
def trace(
    *, engine: str = "auto", session: TracerSession | None = None, cell: int = -1, **wanted: Unpack[Request]
) -> Window:
    """Trace the I/O system calls of a `with` block.

        with ior_nb.trace() as t:
            frame = pandas.read_csv("x.csv")
        t.df()

    Without `command`, `pid`, `tid`, `cgroup`, `uid` or `system` the calls of this process, its threads and all its
    children are traced, the notebook's own service threads left out.

    Args:
        command: program and arguments; started for the trace, which ends when it does. `Trace.returncode` has its
            status.
        pid: a running process and its children; or several.
        tid: one thread.
        cgroup: a control group (version 2): its folder, or its id.
        uid: all processes of a user.
        system: every process of the machine.
        families: families of system calls; default FS, Network and AIO, and `page_fault`. `all` is all of them.
        syscalls: names of system calls; alone, only these; with `families`, in addition.
        sampling: name of a syscall or family -> N: one call in N becomes a row; 0 counts only. Counters stay exact.
        filter: which rows are wanted, as `comm~python and latency>=1ms`; what it can the kernel program decides.
        follow: whether children are traced.
        own: leave out processes that were running before the block.
        engine: `auto`, or a name of `ior_nb.engine.ENGINES`, which then is the only one tried. A `session` has its own,
            and another name is refused.
        record: also write a Parquet recording there.
        record_mode: who may read it, as `0o640`; its owner alone by default.
        record_command: keep the whole command line in it, not the program's name alone: passwords stand in some.
        record_cells: keep the text of the notebook's cells in it, those whose lines made calls.
        keep_rows: whether the rows stay in memory for `df()`; without them the summary and the recording remain.
        stacks: the Python stack of every call: `full` (32 frames), `lines` (the innermost 12, which costs less where
            an interpreter has no version of its code) or `off`; by default full where the traced program is this one or
            a command, else off.
        waits: tell what calls waited for, a device, a lock or somebody else, which every context switch of the machine
            pays for; by default where the traced program is this one or a command. For a processor is always told.
        objects: whether rows of sockets say which object of a store they are about (column `object`, `objects()`): what
            users of http.client and aiohttp in this process ask for, without queries, headers and bodies.
        cwd: working directory of the command.
        env: environment of the command.
        title: heading of the result.
        session: where to trace; the process's own session by default.
        cell: execution count to stamp on the rows.

    Returns:
        A context manager that gives the `Trace`; its results are there after the block.

    Raises:
        ConfigError: something asked for is not possible; nothing was started.
        RecordingError: the recording cannot be written; nothing was started.
        SourceError: (entering the block) the machine or the rights do not allow tracing.
    """
    name = engine_name(engine)
    if session is not None and engine != "auto" and name != session.engine_name:
        raise ConfigError(
            f"cannot trace with the engine {name} in a session of {session.engine_name}: leave one of the two out"
        )
    return Window(session or default_session(engine), plan(**wanted), cell=cell)


def _with_keywords(of: Callable[..., Window]) -> None:
    """Let help and completion show the keywords one by one."""
    own = [p for p in inspect.signature(of).parameters.values() if p.kind is p.KEYWORD_ONLY]
    of.__signature__ = inspect.Signature([*parameters(), *own], return_annotation=Window)  # type: ignore[attr-defined]


_with_keywords(trace)


@own.ours
def dashboard(
    trace: Trace | None = None, panels: Sequence[str] = (), *, session: TracerSession | None = None
) -> Dashboard:
    """Return a dashboard of widgets: of what the session traces, or of one finished trace.

    Args:
        trace: a finished trace, a loaded recording for example; what the session traces without it.
        panels: which panels, by name (`ior_nb.widgets.PANELS`); all without them, then one dashboard as long as it is
            open.
        session: whose; the process's own session by default.

    Raises:
        ConfigError: there is no such panel; or the trace still runs, has no rows, or more than two million.
    """
    from ior_nb.session.desk import Desk
    from ior_nb.widgets.dashboard import Dashboard

    session = session or default_session()
    if trace is not None and not isinstance(trace, Trace):
        raise ConfigError(
            f"a dashboard shows one trace, not a {type(trace).__name__}; `ior_nb.load` makes one of several recordings"
        )
    whole = trace is None and not panels
    if whole and isinstance(session.shown, Dashboard) and not session.shown.closed:
        return session.shown
    made = Dashboard(Desk(session, trace), panels, on_close=session.left)
    if whole:
        session.shown = made
    session.keep(made)
    return made


def shows(session: TracerSession, trace: Trace) -> bool:
    """Say whether the dashboard of the session is open and shows this finished trace."""
    live = session.live()
    return session.shown is not None and not session.shown.closed and isinstance(live, Past) and live.trace is trace
