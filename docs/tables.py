"""Tables of the documentation, made from the program's own while the site is built.

A line of a page that ends in `<!-- table: NAME -->` becomes the table of that name; what stands before the comment is
what a reader of the page's source sees. mkdocs calls `on_page_markdown` (`hooks:` in mkdocs.yml). A new table is one
function here and its row in `TABLES`.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from ior_nb.commands.magics import _cell_parser
from ior_nb.commands.options import add_load_options
from ior_nb.commands.verbs import VERBS
from ior_nb.doctor.places import DISTRIBUTIONS, PLACES
from ior_nb.engine import ENGINES
from ior_nb.export import EXPORTERS
from ior_nb.globalfilter.values import UNITS
from ior_nb.runtime import COLUMNS
from ior_nb.runtime.filter import DIMENSIONS
from ior_nb.syscalls import DEFAULT_FAMILIES, FAMILIES, SYSCALLS
from ior_nb.syscalls.probes import RULES
from ior_nb.widgets import PANELS

__all__ = ["TABLES", "filled", "on_page_markdown"]

_MARK: Final = re.compile(r"^.*<!-- table: (\w+) -->$", re.MULTILINE)
_SPECIAL: Final = {ord(character): f"&#{ord(character)};" for character in "|<*"}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown; outside of code, text is shown as it is."""
    heads = tuple(heads)
    lines = [heads, ["---"] * len(heads), *([_literal(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _literal(text: str) -> str:
    parts = text.split("`")
    parts[::2] = [part.translate(_SPECIAL) for part in parts[::2]]
    return "`".join(parts)


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _first_line(place: str) -> str:
    module, _, name = place.partition(":")
    return (inspect.getdoc(getattr(importlib.import_module(module), name)) or "").partition("\n")[0]


def columns() -> str:
    """The columns of an event."""
    rows = ((_code(c.name), "text" if c.text else c.dtype.name, c.unit, c.doc) for c in COLUMNS)
    return table(("column", "type", "unit", "meaning"), rows)


def families() -> str:
    """The families of system calls."""
    names = {family: [call.name for call in SYSCALLS if call.family == family] for family in FAMILIES}
    rows = (
        (_code(family), "yes" if family in DEFAULT_FAMILIES else "", str(len(calls)), ", ".join(calls[:6]) + ", ...")
        for family, calls in names.items()
    )
    return table(("family", "traced by default", "calls", "for example"), rows)


def syscalls() -> str:
    """Every system call, a section a family."""
    sections = []
    for family in FAMILIES:
        calls = sorted((call for call in SYSCALLS if call.family == family), key=lambda call: call.name)
        sections.append(f"## {family}\n\n" + table(("call", "what it does"), ((_code(c.name), c.doc) for c in calls)))
    return "\n\n".join(sections)


def dimensions() -> str:
    """What a filter can ask for."""
    rows = (
        (_code(d.name, *d.aliases), "text" if d.text else _code(*UNITS[d.unit]) if d.unit else "number", d.doc)
        for d in DIMENSIONS.values()
    )
    return table(("name", "compared with", "what it is"), rows)


def probes() -> str:
    """The failures that are none."""
    rows = (
        (
            _code(*(errno.errorcode[number] for number in rule.errnos)),
            _code(*rule.calls) if rule.calls else "any",
            rule.when,
            rule.reason,
        )
        for rule in RULES
    )
    return table(("error", "of", "only of a", "why it is none"), rows)


def exporters() -> str:
    """The formats of files."""
    rows = ((_code(name), _code(e.extension, *e.also), e.doc) for name, e in EXPORTERS.items())
    return table(("format", "endings", "what it is"), rows)


def engines() -> str:
    """Where rows come from."""
    return table(("engine", "what it does"), ((_code(name), row.doc) for name, row in ENGINES.items()))


def verbs() -> str:
    """The verbs of `%ior`."""
    rows = []
    for verb, text in VERBS.items():
        usage, colon, doc = text.partition(": ")
        shown = (usage, doc) if colon and usage.startswith(verb) else (verb, text)
        rows.append((_code(f"%ior {shown[0]}"), shown[1]))
    return table(("line", "what it does"), rows)


def panels() -> str:
    """The panels of the dashboard."""
    rows = ((title, _code(name), _first_line(place)) for name, (title, place) in PANELS.items())
    return table(("tab", "name", "what it shows"), rows)


def options() -> str:
    """The options of `%%ior`."""
    return _options(_cell_parser())


def load_options() -> str:
    """The options of `%ior load`."""
    parser = argparse.ArgumentParser(add_help=False)
    add_load_options(parser)
    return _options(parser)


def _options(parser: argparse.ArgumentParser) -> str:
    shown = (a for a in parser._actions if a.option_strings and a.dest != "help")  # noqa: SLF001 - argparse has no other way
    rows = ((_code(*(f"{name} {a.metavar or ''}".strip() for name in a.option_strings)), a.help or "") for a in shown)
    return table(("option", "meaning"), rows)


def distributions() -> str:
    """How bcc is installed."""
    commands: dict[str, list[str]] = {}
    for name, command in DISTRIBUTIONS.items():
        commands.setdefault(command, []).append(name)
    return table(("distribution", "as root"), ((", ".join(names), _code(line)) for line, names in commands.items()))


def places() -> str:
    """How a place gives the rights."""
    rows = ((p.name or "a machine of your own", p.never or f"`` {p.rights} ``") for p in PLACES)
    return table(("where", "what gives the rights"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "columns": columns,
    "dimensions": dimensions,
    "distributions": distributions,
    "engines": engines,
    "exporters": exporters,
    "families": families,
    "load_options": load_options,
    "options": options,
    "panels": panels,
    "places": places,
    "probes": probes,
    "syscalls": syscalls,
    "verbs": verbs,
}


def filled(markdown: str) -> str:
    """Return a page with its tables.

    Raises:
        KeyError: there is no table of a name the page has.
    """
    return _MARK.sub(lambda found: TABLES[found[1]](), markdown)


def on_page_markdown(markdown: str, **about: Any) -> str:
    """Fill in the tables of a page; mkdocs calls this."""
    return filled(markdown)
