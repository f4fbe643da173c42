"""`%ior` and `%%ior`: parse, call the session, show the result. Nothing else is decided here."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from ior_nb import errors
from ior_nb.commands.lines import cell_files
from ior_nb.commands.options import add_trace_options, trace_arguments
from ior_nb.commands.verbs import PARSERS, VERBS, HelpShown, Parser, Verbs, arguments_of, refusal
from ior_nb.engine import ENGINES
from ior_nb.export import EXPORTERS
from ior_nb.result.trace import Trace
from ior_nb.runtime import own
from ior_nb.session import notebook
from ior_nb.session.session import TracerSession, default_session
from ior_nb.session.tracing import trace
from ior_nb.session.window import Window
from ior_nb.syscalls import FAMILIES, NATIVE

__all__ = ["IorMagics", "load", "unload"]


def _cell_parser() -> Parser:
    parser = Parser(prog="%%ior", description="Trace the I/O system calls of a cell, its threads and its children.")
    add_trace_options(parser)
    parser.add_argument("--name", metavar="NAME", help="bind the trace to this name as well")
    parser.add_argument("--no-display", action="store_true", help="do not show the summary")
    return parser


@magics_class
class IorMagics(Magics):
    """The magics of one shell."""

    def __init__(self, shell: Any, session: TracerSession | None = None) -> None:
        super().__init__(shell)
        self._shell: Any = shell
        self.verbs = Verbs(shell, session or default_session(), self._bind)
        self._entries: list[list[int] | None] = []  # a stack: a cell may run another
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
        """Trace I/O system calls: `%%ior [options]` a cell, `%ior VERB` everything else (`%ior help`)."""
        __tracebackhide__ = True
        try:
            return self._verb(line) if cell is None else self._cell(line, cell)
        except HelpShown:
            return None
        except errors.ConfigError as error:
            raise refusal(f"ior: {error}") from None
        except (errors.SourceError, errors.RecordingError, errors.SessionClosed) as error:
            raise refusal(f"ior: {error}") from None

    def _cell(self, line: str, cell: str) -> Any:
        __tracebackhide__ = True
        body = _Body(self._shell, cell)
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
            options = arguments_of(_cell_parser(), line)
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
        self._shell.user_ns["_ior"] = result
        if name:
            self._shell.user_ns[name] = result

    # ---- %ior

    def _verb(self, line: str) -> Any:
        verb, _, rest = line.strip().partition(" ")
        verb = verb or "status"
        if verb not in VERBS:
            raise UsageError(f"%ior: there is no {verb!r}; use one of {', '.join(VERBS)}")
        return self.verbs.run(verb, rest.strip())

    # ---- cells while %ior start is on

    def before_cell(self, info: Any = None) -> None:
        """Event `pre_run_cell`: rows from here on carry the cell's number."""
        on = self.session.running is not None
        self._entries.append(self.session.begin_cell(self._count() + 1) if on else None)

    def after_cell(self, result: Any = None) -> None:
        """Event `post_run_cell`."""
        if self._entries and (entry := self._entries.pop()) is not None:
            self.session.end_cell(entry)


class _Body:
    """A cell's body, compiled and run as IPython's own `%%time` does: one traceback, value and namespace as without."""

    def __init__(self, shell: Any, cell: str) -> None:
        self._shell = shell
        source = shell.transform_cell(cell)
        self._name = shell.compile.cache(source, shell.execution_count, raw_code=cell)
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
    """Input transformer: `%%ior OPTIONS` on top of a cell becomes a call of the marker."""
    if not lines or not lines[0].startswith("%%ior") or lines[0][5:6] not in ("", " ", "\n"):
        return lines
    body = "".join(lines[1:])
    if body.lstrip().startswith("%%"):  # another cell magic goes on with the rest
        return lines
    try:
        compile(shell.transform_cell(body), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError):
        return lines
    return [f"{_MARKER}({lines[0][5:].strip()!r})\n", *lines[1:]]


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

    return _loaded[id(get_ipython())].window(line)


def _complete(shell: Any, event: Any) -> list[str]:
    words = event.line.split()
    current = event.symbol
    before = words[-2] if len(words) > 1 and not event.line.endswith(" ") else words[-1] if words else ""
    if before == "--families":
        return ["all", *FAMILIES]
    if before == "--engine":
        return ["auto", *ENGINES]
    if before == "export":
        return list(EXPORTERS)
    if before == "--syscalls":
        return sorted(c.name for c in NATIVE)
    if current.startswith("-") or event.line.lstrip().startswith("%%"):
        verb = words[1] if len(words) > 1 and not words[0].startswith("%%") else ""
        parser = PARSERS.get(verb, _cell_parser)()
        return [o for action in parser._actions for o in action.option_strings]  # noqa: SLF001 - argparse has no other way
    return list(VERBS)


_loaded: dict[int, IorMagics] = {}


@own.ours
def load(shell: Any) -> None:
    """Register the magics with a shell. Idempotent."""
    if id(shell) in _loaded:
        return
    notebook.here()
    magics = IorMagics(shell)
    shell.register_magics(magics)
    shell.set_hook("complete_command", _complete, str_key="%ior")
    shell.set_hook("complete_command", _complete, str_key="%%ior")
    shell.set_hook("complete_command", _complete, str_key="ior")
    magics.hooks = (functools.partial(_mark_cell, shell), _WrapMarkedCell())
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
    shell.input_transformers_cleanup.remove(magics.hooks[0])
    shell.ast_transformers.remove(magics.hooks[1])
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("ior", None)
    magics.session.close()
