"""The verbs of `%ior`: each one parses its line, calls the session, and prints or returns the answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from IPython.core.error import UsageError
from IPython.display import display

from ior_nb.commands.lines import shown_lines
from ior_nb.commands.options import (
    add_convert_options,
    add_lines_options,
    add_load_options,
    add_trace_options,
    converted,
    load_arguments,
    trace_arguments,
)
from ior_nb.commands.queries import queried
from ior_nb.commands.words import split
from ior_nb.engine.contract import so_far
from ior_nb.globalfilter import to_text
from ior_nb.result.cells import CellLine, as_text, of_trace, within
from ior_nb.result.trace import Trace
from ior_nb.runtime.text import printable, printable_lines
from ior_nb.session.session import TracerSession, default_session
from ior_nb.session.tracing import dashboard, shows, trace
from ior_nb.session.window import Window
from ior_nb.syscalls import FAMILIES

__all__ = ["PARSERS", "VERBS", "HelpShown", "Parser", "Verbs", "arguments_of", "refusal", "say"]

# Verb -> what `%ior help` says. A new verb is a row here and a method `do_VERB` below.
VERBS: Final = {
    "start": "start tracing this kernel (or --pid, --system ...) until %ior stop",
    "stop": "end the trace; it is bound to _ior",
    "status": "what is going on",
    "show": "show [TRACE] [PANELS]: the dashboard, live, or of the last trace (or cell, or variable); show summary",
    "df": "the rows of the last trace as a DataFrame; while one runs, the rows so far",
    "sql": "sql SELECT ...: query the rows as the table `trace`, and recordings by their file name (needs duckdb)",
    "filter": "filter TEXT: let only these rows pass, from now on; filter undo, filter clear, filter alone shows it",
    "probes": "probes: what is traced; probes on|off NAMES, probes rate NAME=N change it while a trace runs",
    "reset": "begin the live statistics and the flame graph anew",
    "lines": "lines [-f FILE] [--library]: what each line of the last trace's cells (or of a file) made",
    "cells": "the traced cells, those run while %ior start traced too: calls, bytes, time, loss",
    "diff": "diff [--rows-only] A B: compare two traced cells by their numbers (or variables)",
    "record": "record PATH: write every row to a Parquet file from now on; record stop: finish it",
    "load": "load PATH [--start S] [--end S] [--filter TEXT]: a recording (several, a folder) as a trace, as _ior",
    "convert": "convert PATH... TARGET [--sort]: recordings written anew, as few files, by time, of today's columns",
    "export": "export PATH: the last trace as a file; the ending says the format",
    "doctor": "what this machine offers for tracing, and what to do about what it lacks",
    "help": "this text",
}


def say(text: str) -> None:
    """Print lines; names in them do not act on a terminal."""
    print(printable_lines(text))


def refusal(text: str) -> UsageError:
    """Return the error of a line that cannot be done; IPython prints its text, in which no name acts on a terminal."""
    return UsageError(printable_lines(text))


class HelpShown(Exception):
    """`--help` has been printed; there is nothing left to do."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one-line `UsageError`s."""

    def error(self, message: str) -> Any:
        """Refuse the line."""
        raise refusal(f"{self.prog}: {message}")

    def exit(self, status: int = 0, message: str | None = None) -> Any:
        """Never end the kernel."""
        raise HelpShown


def _parser(verb: str, add: Callable[[argparse.ArgumentParser], None]) -> Parser:
    parser = Parser(prog=f"%ior {verb}", description=VERBS[verb])
    add(parser)
    return parser


# Verbs that take options. `--help` and completion read them.
PARSERS: Final[dict[str, Callable[[], Parser]]] = {
    "start": lambda: _parser("start", add_trace_options),
    "load": lambda: _parser("load", add_load_options),
    "convert": lambda: _parser("convert", add_convert_options),
    "lines": lambda: _parser("lines", add_lines_options),
}


def usage() -> str:
    """Return what there is to type."""
    width = max(map(len, VERBS))
    verbs = [f"%ior {verb.ljust(width)}  {text}" for verb, text in VERBS.items()]
    return "\n".join(["%%ior [options] on top of a cell traces it; `%%ior --help` lists the options.", "", *verbs])


def words_of(name: str, line: str) -> list[str]:
    """Split a line as a shell does."""
    try:
        return split(line)
    except ValueError as error:
        raise refusal(f"{name}: {error}") from None


def arguments_of(parser: Parser, line: str) -> argparse.Namespace:
    """Parse a line."""
    return parser.parse_args(words_of(parser.prog, line))


class Verbs:
    """The verbs of one shell.

    Args:
        shell: the IPython shell.
        session: what they work on.
        bind: makes a trace the shell's `_ior`.
    """

    def __init__(self, shell: Any, session: TracerSession, bind: Callable[[Trace], None]) -> None:
        self._shell = shell
        self.session = session
        self._sessions = [session]  # the first is that of `auto`
        session.listeners.append(self._ended)
        self._bind = bind
        self._window: Window | None = None
        self._over_cells: dict[int, CellLine] = {}  # cells of traces that went on over several, by number
        self._shown: tuple[Any, Any] | None = None  # what the dashboard of a finished trace shows, and it

    def run(self, verb: str, line: str) -> Any:
        """Run one; `verb` is one of `VERBS`."""
        if line in ("-h", "--help") and verb not in PARSERS:
            print(f"%ior {verb}  {VERBS[verb]}")
            return None
        handler: Callable[[str], Any] = getattr(self, f"do_{verb}")
        return handler(line)

    def use(self, engine: str) -> TracerSession:
        """Go on with the session of an engine and return it; `auto` is the session the shell began with."""
        wanted = self._sessions[0] if engine == "auto" else default_session(engine)
        if wanted is not self.session and self.session.running is not None:
            raise UsageError(f"ior: a trace of the engine {self.session.engine_name} is running; stop it (%ior stop)")
        self.session = wanted
        if wanted not in self._sessions:
            self._sessions.append(wanted)
            wanted.listeners.append(self._ended)
        return wanted

    def traces(self) -> dict[int, Trace]:
        """Return the traces of the last cells, whichever engine made them, by execution count."""
        return {number: found for session in self._sessions for number, found in session.traces().items()}

    def last(self) -> Trace:
        """Return the trace the shell has as `_ior`."""
        found = self._shell.user_ns.get("_ior")
        if not isinstance(found, Trace):
            raise self._nothing()
        return found

    def _nothing(self) -> UsageError:
        """Return the error where `_ior` is no trace: none was made, or the name is another thing's, or nobody's."""
        cells = self.traces()
        if not cells and not self._over_cells:
            return UsageError("ior: nothing has been traced yet (%%ior on a cell, or %ior start)")
        gone = "is no trace any more" if "_ior" in self._shell.user_ns else "is not there any more"
        how = f"; `%ior show {max(cells)}` shows the last one (%ior cells lists them)" if cells else ""
        return UsageError(
            f"ior: the variable _ior, which has the last trace, {gone}{how}; %%ior on a cell makes a new one"
        )

    # ---- tracing

    def do_start(self, line: str) -> None:
        """Start a trace that goes on over cells."""
        options = arguments_of(PARSERS["start"](), line)
        if self.session.running is not None:
            raise UsageError("ior: a trace is running; stop it first (%ior stop)")
        window = trace(**trace_arguments(options), session=self.use(options.engine))
        self._window = window
        try:
            window.__enter__()
        except BaseException:
            self._window = None
            raise
        say(f"tracing {window.trace.scope}; %ior stop ends it")

    def do_stop(self, line: str) -> None:
        """End it and show the result."""
        run, window = self.session.running, self._window
        if run is not None:  # which may have been begun with the button of the dashboard
            found = run.owner.trace
            run.stop()
        elif window is not None:
            found = window.trace
            window.stop()
        else:
            raise UsageError("ior: nothing is being traced (%ior start begins)")
        display(found)  # type: ignore[no-untyped-call]

    def _ended(self, trace: Trace) -> None:
        """A trace over cells has ended: here, or with the button of the dashboard."""
        self._window = None
        self._bind(trace)
        told = trace.completeness.told()
        said = f"of the whole trace: {told}" if told else "complete"
        self._over_cells |= within(trace, self.session.cells(), said)

    def do_status(self, line: str) -> None:
        """Say what is going on."""
        run = self.session.running
        if run is None:
            print("not tracing")
        else:
            run.watch()
            run.refresh()
            active, total = run.probes.active_count()
            told = run.completeness().told()
            say(f"tracing {run.options.scope} with {run.engine.name}: {run.owner.rows:,} rows so far")
            if run.options.stacks and (missing := so_far(run.totals).stacks_line()):
                say(missing)
            print(f"probes: {active} of {total} on; filter: {printable(to_text(run.filter))}")
            if told:
                say(told)
        if how := self.session.how:
            say(how)
        recording = self.session.recorder().status()
        if recording.active:
            rows = f"{recording.rows_written:,} rows written, {recording.rows_dropped:,} dropped"
            say(f"recording to {recording.path}: {rows}")
        elif recording.error:
            say(f"the last recording failed: {recording.error}")

    def do_filter(self, line: str) -> None:
        """Show or change the filter."""
        session = self.session
        if line == "undo":
            if not session.undo():
                raise UsageError("ior: there is no filter to undo")
        elif line == "clear":
            session.set(session.parse(""), "clear")
        elif line:
            session.set(session.parse(line))
        print(f"filter: {printable(to_text(session.filters.active))}")
        for label in reversed(session.filters.labels):
            print(f"  undo takes back: {printable(label)}")

    def do_probes(self, line: str) -> Any:
        """Show or change which system calls are traced."""
        words = words_of("%ior probes", line)
        run = self.session.running
        if run is None:
            raise UsageError("ior: probes are changed while a trace runs (%ior start begins one)")
        manager = run.probes
        known = {family.lower() for family in FAMILIES}
        match words:
            case []:
                pass
            case ["on" | "off" as how, *names] if names:
                chosen = [name for word in names for name in word.split(",") if name]
                # First, because it refuses a name nobody knows: then nothing has been changed.
                manager.set_active([n for n in chosen if n.lower() not in known], active=how == "on")
                for name in chosen:
                    if name.lower() in known:
                        manager.set_family(name, active=how == "on")
            case ["rate", *pairs] if pairs and all(p.partition("=")[2].isdigit() for p in pairs):
                for pair in pairs:
                    name, _, rate = pair.partition("=")
                    manager.set_rate(name, int(rate))
            case _:
                raise UsageError("%ior probes: on NAMES, off NAMES, rate NAME=N, or nothing to see what is traced")
        for family in manager.families():
            if family.active:
                print(f"{family.family:10} {family.active} of {family.total}")
        for state in manager.states():
            if state.error or (state.active and state.rate != 1):
                rate = "counted only" if state.rate == 0 else f"one in {state.rate}"
                say(f"  {state.syscall}: {state.error or rate}")

    def do_reset(self, line: str) -> None:
        """Begin the live aggregates anew."""
        run = self.session.running
        if run is None:
            raise UsageError("ior: nothing is being traced (%ior start begins)")
        run.reset()
        print("statistics and flame graph begin anew")

    # ---- results

    def do_show(self, line: str) -> None:
        """Show the dashboard, some of its panels, or the summary."""
        panels = words_of("%ior show", line)
        if panels == ["summary"] or getattr(self._shell, "kernel", None) is None:  # a terminal has no widgets
            self._show_summary()
        else:
            display(self._dashboard(panels))  # type: ignore[no-untyped-call]

    def _show_summary(self) -> None:
        run = self.session.running
        if run is None:
            display(self.last())  # type: ignore[no-untyped-call]
            return
        run.watch()
        run.refresh()
        display(run.owner.trace)  # type: ignore[no-untyped-call]

    def _dashboard(self, panels: list[str]) -> Any:
        """Return the dashboard of the session or, when nothing runs, of `_ior`; of a trace that is named first."""
        from ior_nb.widgets import PANELS

        by_title = {title.lower(): name for name, (title, _) in PANELS.items()}
        panels = [by_title.get(word.lower(), word) for word in panels]
        last = self._shell.user_ns.get("_ior")
        if panels and panels[0] not in PANELS:
            last, panels = self._trace_named(panels[0]), panels[1:]
        elif self.session.running is not None or not isinstance(last, Trace) or shows(self.session, last):
            return dashboard(panels=panels, session=self.session)
        key = (id(last), tuple(panels))
        if self._shown is None or self._shown[0] != key or self._shown[1].closed:
            if self._shown is not None:
                self._shown[1].close()  # its static picture stays
                self._shown = None
            self._shown = (key, dashboard(last, panels, session=self.session))
        return self._shown[1]

    def do_df(self, line: str) -> Any:
        """Return rows as a DataFrame."""
        run = self.session.running
        if run is None:
            return self.last().df()
        from ior_nb.export.pandas import dataframe

        rows = run.rows()
        run.refresh()
        return dataframe(rows, run.completeness())

    def do_sql(self, line: str) -> Any:
        """Query rows with DuckDB; returns a DataFrame."""
        return queried(line, self.session.running, self._shell.user_ns.get("_ior"), self._nothing)

    def do_lines(self, line: str) -> Any:
        """Show the lines of Python that made calls."""
        options = arguments_of(PARSERS["lines"](), line)
        found = self._window.trace if self._window is not None else self.last()
        return shown_lines(self._shell, found, options, self.session.running, say)

    def do_cells(self, line: str) -> None:
        """List the traced cells."""
        lines = dict(self._over_cells)
        run = self.session.running
        if self._window is not None and run is not None:
            run.watch()
            run.refresh()
            told = run.completeness().told()
            said = f"of the whole trace {told}" if told else "complete so far"
            lines |= within(self._window.trace, self.session.cells(), said)
        lines |= {number: of_trace(number, found) for number, found in self.traces().items()}
        if not lines:
            print("no cell has been traced yet (%%ior on a cell, or %ior start and then cells)")
            return
        say(as_text(lines.values()))

    def do_diff(self, line: str) -> Any:
        """Compare two traces."""
        words = words_of("%ior diff", line)
        rows_only = "--rows-only" in words
        words = [word for word in words if word != "--rows-only"]
        if len(words) != 2:
            raise UsageError("%ior diff A B: two numbers of traced cells (%ior cells lists them) or names of variables")
        before, after = (self._trace_named(word) for word in words)
        first, second = (f"cell {word}" if word.isdigit() else word for word in words)
        return before.diff(after, titles=(first, second), rows_only=rows_only)

    def _trace_named(self, word: str) -> Trace:
        found = self.traces().get(int(word)) if word.isdigit() else self._shell.user_ns.get(word)
        last = self._shell.user_ns.get("_ior")
        if (
            found is None
            and word.isdigit()
            and isinstance(last, Trace)
            and any(int(word) in batch["cell"] for batch in last.batches("cell"))
        ):
            found = last.filter(f"cell={word}")  # of a trace that went on over cells
        if found is None and word.isdigit() and int(word) in self._over_cells:
            raise refusal(f"ior: the trace that cell {word} is of is not _ior any more, or has no row of it")
        if not isinstance(found, Trace):
            raise refusal(f"ior: {word} is neither a traced cell (%ior cells lists them), a trace, nor a panel")
        return found

    def do_load(self, line: str) -> None:
        """Load recordings."""
        options = arguments_of(PARSERS["load"](), line)
        from ior_nb.result.load import load

        found = load(**load_arguments(options))
        self._bind(found)
        display(found)  # type: ignore[no-untyped-call]

    def do_convert(self, line: str) -> None:
        """Write recordings anew."""
        say(converted(arguments_of(PARSERS["convert"](), line)))

    def do_export(self, line: str) -> None:
        """Write the last trace to a file."""
        words = words_of("%ior export", line)
        if len(words) != 1:
            raise UsageError("%ior export PATH: the ending says the format")
        say(f"wrote {self.last().export(words[0])}")

    def do_record(self, line: str) -> None:
        """Start or stop a recording of the session."""
        words = words_of("%ior record", line)
        if len(words) != 1:
            raise UsageError("%ior record PATH, or %ior record stop")
        if words[0] == "stop":
            published = self.session.stop_recording()
            if published is None:
                raise UsageError("ior: nothing is being recorded (%ior record PATH begins)")
            say(f"recorded to {published}")
            return
        self.session.record(words[0])
        say(f"recording to {self.session.recorder().status().path}; `%ior record stop` finishes it")

    def do_doctor(self, line: str) -> None:
        """Examine the machine."""
        from ior_nb.doctor import diagnose, report

        say(report(diagnose()))

    def do_help(self, line: str) -> None:
        """List the verbs."""
        print(usage())
