"""`%ior lines`: what each line of a cell, or of a file, made."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from IPython.display import display

from ior_nb.result.trace import Trace
from ior_nb.runtime.stacks import cell_files
from ior_nb.runtime.text import printable
from ior_nb.session.run import Run

__all__ = ["shown_lines"]


def shown_lines(
    shell: Any, trace: Trace, options: argparse.Namespace, run: Run | None, say: Callable[[str], None]
) -> Any:
    """Show the texts that are asked for, or return the table; where there is nothing, `say` so.

    Args:
        shell: the IPython shell, which knows its cells.
        trace: whose lines.
        options: what is asked for.
        run: what goes on: all that has happened counts.
        say: tells a line to the user.
    """
    trace.cells = trace.cells or cell_files(shell)
    if run is not None:
        run.watch()
        run.flush()
    if options.library:
        return trace.lines(options.file, library=True)
    sources = trace.annotated(options.file)
    if not sources:
        what = f"lines of {printable(options.file)}" if options.file else "cells with lines of Python"
        missing = trace.accounting.stacks_line()
        say(f"no {what} in this trace" + (f"; {missing}" if missing else ""))
    for source in sources:
        display(source)  # type: ignore[no-untyped-call]
    return None
