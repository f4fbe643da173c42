"""What may come next on a line of `%ior` or `%%ior`: verbs, options, panels, names, files; nothing of Python's."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from ior_nb.commands.verbs import PARSERS, VERBS, Parser
from ior_nb.engine import ENGINES
from ior_nb.export import EXPORTERS
from ior_nb.globalfilter import complete
from ior_nb.result.trace import Trace
from ior_nb.session.session import TracerSession
from ior_nb.syscalls import FAMILIES, NATIVE
from ior_nb.widgets import PANELS

__all__ = ["Offer", "offers"]

_MOST: Final = 200


class Offer(NamedTuple):
    """What may stand at the cursor."""

    texts: list[str]
    fragment: str
    """The end of the line that each of them takes the place of."""


def offers(line: str, shell: Any, session: TracerSession, cell_parser: Callable[[], Parser]) -> Offer | None:
    """Return what may come next, the likeliest first; None on a line of something else.

    Args:
        line: up to the cursor.
        shell: whose names are traces.
        session: whose cells have been traced.
        cell_parser: makes the parser of `%%ior`.
    """
    head, space, rest = line.lstrip().partition(" ")
    if head not in ("%ior", "%%ior") or not space:
        return None
    word = "" if rest[-1:].isspace() else rest.rsplit(None, 1)[-1] if rest else ""
    before = rest[: len(rest) - len(word)].split()
    if head == "%%ior":
        return _chosen(_options(cell_parser(), before, word), word)
    if not before:
        return _chosen(VERBS, word)
    verb = before[0]
    if verb in PARSERS:
        values = _options(PARSERS[verb](), before[1:], word)
        if verb in ("load", "convert") and not word.startswith("-"):
            values = [*_files(word, ".parquet"), *values]
        return _chosen(values, word)
    if verb == "filter":
        text = rest.partition(" ")[2].lstrip()
        found = complete(text)
        start = found[0].start if found else len(text)
        words = [f.text for f in found if f.start == start]
        return _chosen([*words, *(("undo", "clear") if len(before) == 1 else ())], text[start:])
    traces = [name for name, value in shell.user_ns.items() if isinstance(value, Trace) and not name.startswith("__")]
    cells = [str(number) for number in session.traces()]
    names: dict[str, Iterable[str]] = {
        "show": [*PANELS, "summary", *cells, *traces],
        "diff": [*cells, *traces],
        "export": [*EXPORTERS, *_files(word, "")],
        "record": ["stop", *_files(word, ".parquet")],
        "probes": ("on", "off", "rate") if len(before) == 1 else [*FAMILIES, *sorted(c.name for c in NATIVE)],
        "sql": ["SELECT", "FROM", "trace", "WHERE", "GROUP BY", "ORDER BY"],
    }
    return _chosen(names.get(verb, ()), word)


def _options(parser: Parser, before: list[str], word: str) -> list[str]:
    """Return values where an option that takes some stands before, else the options."""
    last = before[-1] if before else ""
    given = word.rpartition(",")[0]
    listed = f"{given}," if given else ""
    match last:
        case "--families":
            return [listed + name for name in ("all", *FAMILIES)]
        case "--syscalls":
            return [listed + name for name in sorted(c.name for c in NATIVE)]
        case "--sample":
            return [f"{name}=" for name in (*FAMILIES, *sorted(c.name for c in NATIVE))]
        case "--engine":
            return ["auto", *ENGINES]
        case "--filter":
            return [found.text for found in complete(word)]
        case "--record" | "-o":
            return _files(word, ".parquet")
    actions: list[argparse.Action] = parser._actions  # noqa: SLF001 - argparse has no other way
    chosen = next((a for a in actions if last in a.option_strings and a.choices), None)
    if chosen is not None and chosen.choices is not None:
        return [str(choice) for choice in chosen.choices]
    if any(last in a.option_strings and a.nargs != 0 for a in actions):
        return []
    return [max(a.option_strings, key=len) for a in actions if a.option_strings and not {*a.option_strings} & {*before}]


def _chosen(values: Iterable[str], word: str) -> Offer:
    low = word.lower()
    return Offer([v for v in dict.fromkeys(values) if v.lower().startswith(low)][:_MOST], word)


def _files(word: str, ending: str) -> list[str]:
    """Return folders and files of that ending whose path begins so."""
    folder, slash, _ = word.rpartition("/")
    try:
        there = sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir())
    except (OSError, RuntimeError):
        return []
    found = []
    for path in there:
        if path.name.startswith(".") or not (path.is_dir() or path.name.endswith(ending)):
            continue
        found.append(shlex.quote(f"{folder}{slash}{path.name}") + ("/" if path.is_dir() else ""))
    return found
