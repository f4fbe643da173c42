"""Filter: one field for each dimension and the text form, two ways to edit one value, with completion and history."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import traitlets

from ior_nb.errors import FilterSyntaxError, IorError
from ior_nb.runtime import Filter, LiveRuntime, own
from ior_nb.runtime.filter import DIMENSIONS, NUMBER_OPERATORS, TEXT_OPERATORS, Errors, Node, Number, Text
from ior_nb.runtime.text import escaped_html, printable
from ior_nb.widgets.checked import whole
from ior_nb.widgets.chips import act_on, chips
from ior_nb.widgets.page import script, style
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import ticker

__all__ = ["FilterPanel"]

_LOG: Final = logging.getLogger(__name__)
_MOST_SUGGESTIONS: Final = 50
_MOST_TEXT: Final = 10_000  # what the parser takes
_ERRORS: Final = "errors"


class FilterPanel(Panel):
    """The filter of the whole dashboard.

    Acts change the filter in force. What the page wants to know while the user types it *asks* instead
    (`{kind: ask, n, text, edits, cursor}`), and is sent one answer with the same number: nothing is refreshed for it.
    """

    name = "filter"
    every_s = 0.25
    _esm = script("filter.js")
    _css = style("filter.css")
    table: Any = traitlets.List().tag(sync=True)
    """The dimensions: sent once."""

    def __init__(self, runtime: LiveRuntime) -> None:
        self._key: Any = None
        self._applied: list[Any] = ["", 0]
        super().__init__(runtime, table=_table())
        self.on_msg(self._asked)

    def content(self) -> dict[str, Any] | None:
        """Return the filter in force as text, as chips and as terms for the fields, and the history, newest first."""
        filters = self.runtime.filters
        active, labels = filters.active, filters.labels
        key = (active, labels, tuple(self._applied))
        if key == self._key:
            return None
        shown = {
            "text": filters.text(active),
            "chips": chips(filters),
            "labels": list(reversed(labels)),
            "applied": self._applied,
            **self._terms(active),
        }
        self._key = key
        return shown

    def act(self, what: str, body: Mapping[str, Any]) -> None:
        """`apply` a text (with edits of fields not in it yet), `drop` a chip, `clear`, `undo`."""
        if what == "apply":
            self._apply(body)
        elif not act_on(self.runtime.filters, what, body):
            super().act(what, body)

    def still(self) -> str:
        """Return the text of the filter."""
        filters = self.runtime.filters
        return f"<p>filter: <code>{escaped_html(filters.text(filters.active) or 'all')}</code></p>"

    # ---- the draft

    def _apply(self, body: Mapping[str, Any]) -> None:
        answer, found = self._answer(body)
        if found is None:  # shown where it is wrong, not in the strip
            self.send(answer)
            return
        applied = [str(body.get("view", "")), whole({"n": 0, **body}, "n", 0, 2**53)]
        self.runtime.filters.set(found)
        self._applied = applied

    @own.ours
    def _asked(self, _: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and content.get("kind") == "ask":
            ticker.do(lambda: self._reply(content))

    def _reply(self, asked: Mapping[str, Any]) -> None:
        if self.closed:
            return
        try:
            answer, _found = self._answer(asked)
            cursor = asked.get("cursor")
            if isinstance(cursor, int) and 0 <= cursor <= len(asked["text"]) <= _MOST_TEXT:
                suggestions = self.runtime.filters.suggest(asked["text"], cursor)[:_MOST_SUGGESTIONS]
                answer["suggestions"] = [[s.text, s.start, s.kind, s.doc] for s in suggestions]
        except Exception as problem:  # the page waits for an answer, whatever it is
            if not isinstance(problem, IorError | ValueError | KeyError | TypeError):
                _LOG.exception("a question to the panel %s failed", self.name)
            answer = _blank(asked) | {"error": str(problem) or type(problem).__name__}
        self.send(answer)

    def _answer(self, asked: Mapping[str, Any]) -> tuple[dict[str, Any], Filter | None]:
        """Return what to say about a draft, and its filter where it is one."""
        filters, text, edits = self.runtime.filters, asked["text"], asked.get("edits") or []
        if not isinstance(text, str) or not isinstance(edits, list) or len(edits) > 100:
            raise ValueError("a draft is a text, and a list of edits")
        answer = _blank(asked)
        try:
            found = filters.parse(text)
            parts, wrong = self._edited(found.parts(), edits)
            if parts != found.parts() and not wrong:
                found = filters.parse(filters.text(Filter.of(parts)))  # together they may be too long, or too deep
                answer["text"] = filters.text(found)
        except FilterSyntaxError as error:
            return answer | {"error": _message(error), "at": error.position}, None
        return answer | {"wrong": wrong, **self._terms(found)}, None if wrong else found

    def _edited(self, parts: Sequence[Node], edits: Sequence[Any]) -> tuple[tuple[Node, ...], dict[str, str]]:
        """Return the terms with the fields' values in them, and what is wrong with which field."""
        wrong: dict[str, str] = {}
        places = {key: i for i, key in enumerate(_keys(parts)) if key}
        new: list[Node | None] = list(parts)
        for edit in edits:
            dimension, value, slot = str(edit["dimension"]), str(edit["value"]), whole(edit, "slot", 0, _MOST_TEXT)
            key = f"{dimension}#{slot}"
            try:
                node = self._node(dimension, str(edit["operator"]), value) if value else None
            except FilterSyntaxError as error:
                wrong[key] = _message(error)
                continue
            if key in places:
                new[places[key]] = node
            elif node is not None:
                new.append(node)
            if dimension == _ERRORS and node is None:
                new = [None if isinstance(n, Errors) else n for n in new]
        return tuple(node for node in new if node is not None), wrong

    def _node(self, dimension: str, operator: str, value: str) -> Node:
        """Return the term of one field; numbers and names are checked by the parser."""
        filters = self.runtime.filters
        if dimension == _ERRORS:
            return Errors()
        if dimension not in DIMENSIONS:
            raise ValueError(f"there is no dimension {dimension!r}")
        if DIMENSIONS[dimension].text:
            text = filters.text(Filter(Text(dimension, operator, value)))
        elif operator not in NUMBER_OPERATORS:
            raise ValueError(f"no numeric comparison {dimension}{operator}")
        else:
            text = f"{dimension}{operator}{value.strip()}"
        node = filters.parse(text).tree
        if not isinstance(node, Number | Text) or node.dimension != dimension:
            raise FilterSyntaxError("one value is expected; edit the text for more", text, 0)
        return node

    def _terms(self, wanted: Filter) -> dict[str, Any]:
        """Return the terms fields can show, [dimension, operator, value], and the texts of those they cannot."""
        filters, terms, others = self.runtime.filters, [], []
        parts = wanted.parts()
        for part, key in zip(parts, _keys(parts), strict=True):
            if not key:
                others.append(filters.text(Filter(part)))
            elif isinstance(part, Text):
                terms.append([part.dimension, part.operator, part.pattern])
            elif isinstance(part, Number):
                shown = filters.text(Filter(part)).removeprefix(part.dimension + part.operator)
                terms.append([part.dimension, part.operator, shown])
            else:
                terms.append([_ERRORS, "", _ERRORS])
        return {"terms": terms, "others": others}


def _table() -> list[dict[str, Any]]:
    return [
        {
            "name": d.name,
            "doc": d.doc,
            "unit": d.unit,
            "text": d.text,
            "operators": list(TEXT_OPERATORS if d.text else NUMBER_OPERATORS),
        }
        for d in DIMENSIONS.values()
    ]


def _blank(asked: Mapping[str, Any]) -> dict[str, Any]:
    # `at` is -1 where the error has no place in the text.
    return {
        "kind": "answer",
        "view": asked.get("view"),
        "n": asked.get("n"),
        "text": asked.get("text"),
        "error": "",
        "at": -1,
        "wrong": {},
        "suggestions": [],
    }


def _message(error: FilterSyntaxError) -> str:
    return str(error).partition("\n")[0]


def _keys(parts: Sequence[Node]) -> list[str]:
    """Return which field shows each term, `latency#1` for the second of latency; empty for what only text can say."""
    counts: dict[str, int] = {}
    keys = []
    for part in parts:
        if isinstance(part, Errors):
            name = _ERRORS
        elif isinstance(part, Number) or (
            # An empty field means no term, and one line cannot hold a line break.
            isinstance(part, Text) and part.pattern and printable(part.pattern) == part.pattern
        ):
            name = part.dimension
        else:
            keys.append("")
            continue
        keys.append(f"{name}#{counts.get(name, 0)}")
        counts[name] = counts.get(name, 0) + 1
    return keys
