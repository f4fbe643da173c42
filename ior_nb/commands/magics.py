"""`%ior` and `%%ior`: parse, call the session, show the result. Nothing else is decided here."""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import importlib
import keyword
import linecache
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from IPython.core import completer
from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import leading_indent
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from ior_nb import errors
from ior_nb.commands.completion import offers
from ior_nb.commands.options import add_trace_options, trace_arguments
from ior_nb.commands.verbs import VERBS, HelpShown, Parser, Verbs, arguments_of, refusal, usage
from ior_nb.commands.words import without_comment
from ior_nb.result.trace import Trace
from ior_nb.runtime import own
from ior_nb.runtime.stacks import cell_files
from ior_nb.session import notebook
from ior_nb.session.celltimes import Cell
from ior_nb.session.session import TracerSession, default_session
from ior_nb.session.tracing import trace
from ior_nb.session.window import Window

__all__ = ["IorMagics", "load", "unload"]


def _cell_parser() -> Parser:
    parser = Parser(prog="%%ior", description="Trace the I/O system calls of a cell, its threads and its children.")
    add_trace_options(parser)
    parser.add_argument("--name", type=_variable, metavar="NAME", help="bind the trace to this name as well")
    parser.add_argument("--no-display", action="store_true", help="do not show the summary")
    return parser


def _variable(text: str) -> str:
    """Return a name that code can say.

    Raises:
        ArgumentTypeError: it can not.
    """
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a variable")
    return text


@magics_class
class IorMagics(Magics):
    """The magics of one shell."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell: Any = shell
        self.verbs = Verbs(shell, default_session(), self._bind)
        self._cells: list[Cell | None] = []  # a stack: a cell may run another
        self.hooks: tuple[Any, Any] = (None, None)

    @property
    def session(self) -> TracerSession:
        """The session in use."""
        return self.verbs.session

    # ---- %%ior

    @no_var_expand
    @line_cell_magic
    @own.ours
    def ior(self, line: str, cell: str | None = None) -> Any:
        """Trace I/O system calls."""
        __tracebackhide__ = True
        line = without_comment(line)
        try:
            return self._verb(line) if cell is None else self._cell(line, cell)
        except HelpShown:
            return None
        except (errors.ConfigError, errors.SourceError, errors.RecordingError, errors.SessionClosed) as error:
            raise refusal(f"ior: {error}") from None

    # What `%ior?` and `%%ior?` show.
    ior.__doc__ = f"Trace I/O system calls.\n\n{usage()}\n\n{_cell_parser().format_help()}"

    def _cell(self, line: str, cell: str) -> Any:
        __tracebackhide__ = True
        body = _Body(self._shell, cell, self._count())
        with self.window(line) as window:
            return body.run(window.end)

    @contextlib.contextmanager
    def window(self, line: str) -> Iterator[Window]:
        """Trace what runs inside; bind the result to `_ior` and show it, also when the code failed."""
        __tracebackhide__ = True  # the user's traceback is about the user's code
        window, show = self._open_window(line)
        try:
            yield window
        finally:
            show()

    @own.ours
    def _open_window(self, line: str) -> tuple[Window, Callable[[], None]]:
        """Return a window that is open, and what closes it and shows the result."""
        __tracebackhide__ = True
        try:
            options = arguments_of(_cell_parser(), without_comment(line))
            number = self._count()
            session = self.verbs.use(options.engine)
            window = trace(**trace_arguments(options), title="this cell", session=session, cell=number)
            result = window.__enter__()
            result.cells = cell_files(self._shell)
        except (errors.IorError, HelpShown) as error:
            raise refusal("nothing was run" if isinstance(error, HelpShown) else f"ior: {error}") from None

        @own.ours
        def show() -> None:
            window.end()
            self._bind(result, options.name)
            self.session.remember(number, result)
            if not options.no_display:
                display(result)  # type: ignore[no-untyped-call]

        return window, show

    def _count(self) -> int:
        """Return the number of the cell that runs, as its prompt shows it."""
        # Not `execution_count`: from IPython 9 on it is one more while a cell runs.
        return len(self._shell.history_manager.input_hist_parsed) - 1

    def _bind(self, result: Trace, name: str | None = None) -> None:
        result.cells = result.cells or cell_files(self._shell)
        self._shell.user_ns["_ior"] = result
        if name:
            self._shell.user_ns[name] = result

    # ---- %ior

    def _verb(self, line: str) -> Any:
        verb, _, rest = line.strip().partition(" ")
        if (not verb or verb.startswith("-")) and self._has_code_below(line):
            raise UsageError(
                f"%ior {line}".rstrip() + " traces nothing: with two signs, as %%ior, it traces the cell below it; "
                "with one it is a command (%ior help). Nothing was run"
            )
        verb = verb or "status"
        if verb.startswith("-"):
            raise UsageError(f"%ior: {verb} is an option of %%ior on top of a cell, or of %ior start; see %ior help")
        if verb not in VERBS:
            raise UsageError(f"%ior: there is no {verb!r}; use one of {', '.join(VERBS)}")
        return self.verbs.run(verb, rest.strip())

    def _has_code_below(self, line: str) -> bool:
        """Whether the magic is the first line of the cell that runs, and code follows."""
        raw = self._shell.history_manager.input_hist_raw
        first, _, rest = raw[-1].lstrip().partition("\n") if raw else ("", "", "")
        here = first.startswith("%ior") and without_comment(first[4:]) == line.strip()
        return here and any(text.strip() and not text.lstrip().startswith(("#", "%", "!")) for text in rest.split("\n"))

    # ---- cells while %ior start is on

    def before_cell(self, info: Any = None) -> None:
        """Event `pre_run_cell`: rows from here on carry the cell's number."""
        on = self.session.running is not None
        self._cells.append(self.session.begin_cell(self._count() + 1) if on else None)

    def after_cell(self, result: Any = None) -> None:
        """Event `post_run_cell`."""
        if self._cells and (cell := self._cells.pop()) is not None:
            self.session.end_cell(cell)


class _Body:
    """A cell's body, compiled and run as IPython's own `%%time` does: one traceback, value and namespace as without."""

    def __init__(self, shell: Any, cell: str, number: int) -> None:
        self._shell = shell
        source = shell.transform_cell(cell)
        self._name = shell.compile.cache(source, number, raw_code=cell)
        tree = shell.transform_ast(shell.compile.ast_parse(source, filename=self._name))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._code = shell.compile(tree, self._name, "exec")
        self._value = shell.compile(ast.Expression(last.value), self._name, "eval") if last is not None else None

    def run(self, done: Callable[[], None]) -> Any:
        """Run it; `done` is called right after the last statement. Returns the value of a last expression."""
        __tracebackhide__ = True
        try:
            return self._execute()
        finally:
            done()

    @own.users
    def _execute(self) -> Any:
        __tracebackhide__ = True
        namespace = self._shell.user_ns
        exec(self._code, namespace)
        return eval(self._value, namespace) if self._value is not None else None


# IPython itself runs the cell: value, output, line numbers, interrupt and top-level await are then as without the
# magic. The first line becomes a marker of the same height, and the tree of the cell becomes `with <window>: ...`
# (multi-line strings forbid indenting the text). A call of the magic by other means goes through `_Body`.
_MARKER: Final = "__ior_cell__"


def _mark_cell(shell: Any, lines: list[str]) -> list[str]:
    """Input transformer: `%%ior OPTIONS` on top of a cell becomes a call of the marker; comments may stand above."""
    at = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
    if not lines or not lines[at].startswith("%%ior") or lines[at][5:6] not in ("", " ", "\n"):
        return lines
    above, line = lines[:at], lines[at]
    below = leading_indent(lines[at + 1 :])  # type: ignore[no-untyped-call]
    body = "".join(below)
    if body.lstrip().startswith("%%"):  # another cell magic goes on with the rest
        return [line, *above, *below]
    try:
        compile(shell.transform_cell(body), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return [line, *above, *below]
    return [*above, f"{_MARKER}({line[5:].strip()!r})\n", *below]


class _WrapMarkedCell(ast.NodeTransformer):
    """AST transformer: a marked cell's statements go into a `with`, its last expression stays the cell's value."""

    def visit_Module(self, module: ast.Module) -> ast.Module:
        match module.body:
            case [ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(line))])), *body] if (
                name == _MARKER
            ):
                body = body or [ast.Pass()]
            case _:
                return module
        head = ast.parse(
            f"with __import__('ior_nb.commands.magics').commands.magics.cell_window({line!r}):\n    pass"
        ).body[0]
        assert isinstance(head, ast.With)
        value: list[ast.stmt] = []
        if isinstance(body[-1], ast.Expr):
            keep = ast.parse("__ior_value__ = None\n__ior_value__").body
            assert isinstance(keep[0], ast.Assign)
            keep[0].value = body[-1].value
            body[-1] = ast.copy_location(keep[0], body[-1])
            value = [ast.copy_location(keep[1], body[-1])]
        head.body = body
        module.body = [ast.copy_location(head, module.body[0]), *value]
        return ast.fix_missing_locations(module)


@own.ours
def cell_window(line: str) -> Any:
    """Return the context manager a marked cell runs in."""
    from IPython import get_ipython

    _show_first_line(line)
    return _loaded[id(get_ipython())].window(line)


def _show_first_line(line: str) -> None:
    """Let tracebacks of the cell that runs show what the user wrote, as a comment, for they parse the text."""
    frame = sys._getframe(1)  # noqa: SLF001 - nothing else knows the name of a cell's code
    while frame.f_back is not None and not frame.f_code.co_name.startswith("<"):
        frame = frame.f_back
    known = linecache.cache.get(frame.f_code.co_filename, ())
    if len(known) == 4:
        size, stamp, lines, name = known
        shown = [f"# %%ior {line}".rstrip() + "\n" if text.startswith(f"{_MARKER}(") else text for text in lines]
        linecache.cache[frame.f_code.co_filename] = (size, stamp, shown, name)


@completer.context_matcher(priority=1000)
@own.ours
def _complete(context: Any) -> dict[str, Any]:
    """Matcher of IPython: on a line of ours, ours are the only words."""
    from IPython import get_ipython

    magics = _loaded.get(id(get_ipython()))
    line = context.line_with_cursor[: context.cursor_position]
    top = not context.cursor_line or not line.lstrip().startswith("%%")
    found = offers(line, magics.shell, magics.session, _cell_parser) if magics is not None and top else None
    if found is None:
        return {"completions": []}
    return {
        "completions": [completer.SimpleCompletion(text, type="magic") for text in found.texts],
        "matched_fragment": found.fragment,
        "suppress": True,
        "ordered": True,
    }


_loaded: dict[int, IorMagics] = {}


@own.ours
def load(shell: Any) -> None:
    """Register the magics with a shell. Idempotent."""
    if id(shell) in _loaded:
        return
    notebook.here()
    magics = IorMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(_complete)
    mark = functools.partial(_mark_cell, shell)
    # On a terminal IPython asks after each line whether the cell ends; what has side effects it leaves out of that, so
    # it sees a cell magic, which ends with an empty line, and not a marker that is a statement by itself.
    mark.has_side_effects = True  # type: ignore[attr-defined]
    magics.hooks = (mark, _WrapMarkedCell())
    shell.input_transformers_cleanup.append(magics.hooks[0])
    shell.ast_transformers.append(magics.hooks[1])
    shell.events.register("pre_run_cell", magics.before_cell)
    shell.events.register("post_run_cell", magics.after_cell)
    # Loading the program takes most of a second: begin now, so that the first traced cell need not wait. Whatever
    # goes wrong here goes wrong again, and is told, when something is traced.
    with contextlib.suppress(OSError):  # no more threads
        own.OwnThread(_warm_up, magics.session, name="ior-warm-up").start()
    _loaded[id(shell)] = magics


def _warm_up(session: TracerSession) -> None:
    with contextlib.suppress(errors.IorError):
        session.prepare()
        # What a verb would import while a trace runs would be rows of that trace.
        session.parse("errors")
    import ior_nb.session.desk
    import ior_nb.widgets.dashboard  # noqa: F401
    from ior_nb.widgets import PANELS, plotlyjs

    for _, place in PANELS.values():
        importlib.import_module(place.partition(":")[0])
    plotlyjs.compressed()


@own.ours
def unload(shell: Any) -> None:
    """End the trace and take the magics away."""
    magics = _loaded.pop(id(shell), None)
    if magics is None:
        return
    shell.events.unregister("pre_run_cell", magics.before_cell)
    shell.events.unregister("post_run_cell", magics.after_cell)
    shell.Completer.custom_matchers.remove(_complete)
    shell.input_transformers_cleanup.remove(magics.hooks[0])
    shell.ast_transformers.remove(magics.hooks[1])
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("ior", None)
    magics.session.close()
