"""What may come next in a filter being typed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ior_nb.globalfilter.parser import Problem, grammar
from ior_nb.globalfilter.values import UNITS, WORDS, dimension_called, quoted
from ior_nb.runtime import Suggestion
from ior_nb.runtime.filter import NUMBER_OPERATORS, TEXT_OPERATORS, Dimension
from ior_nb.syscalls import ALIASES as CALL_ALIASES
from ior_nb.syscalls import BY_NAME, FAMILIES

__all__ = ["complete"]

_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^\s()"=!<>~]+|[=!<>~]+|[\s()]+', re.DOTALL)
_OPERATORS: Final = {
    "~": "contains; ^ and $ anchor, case does not count",
    "!~": "does not contain",
    "=": "is; in text * stands for anything",
    "!=": "is not",
    "<": "less than",
    "<=": "at most",
    ">": "more than",
    ">=": "at least",
}
_WORDS: Final = {
    "_AND": ("and", "both"),
    "_OR": ("or", "any of the two"),
    "_RPAR": (")", "close the parenthesis"),
    "NOT": ("not", "the rows that do not match"),
    "_ERRORS": ("errors", "failed calls only"),
    "_PROBES": ("probes", "calls that failed as part of normal work"),
    "_MINE": ("mine", "calls on files of your own: no libraries, system, pipes, imports"),
    "LPAR": ("(", "group conditions"),
}
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def complete(
    text: str, position: int | None = None, values: Mapping[str, Sequence[str]] | None = None
) -> list[Suggestion]:
    """Return what may stand at the cursor, the likeliest first; nothing where the text before it is wrong.

    Args:
        text: the filter text.
        position: the cursor, an index into `text`; its end by default. What comes behind it is not looked at.
        values: known values of dimensions, for example the names of the threads seen so far.
    """
    text = text[:position] if position is not None else text
    known = values or {}
    *_, (word, start) = [("", 0), *((match[0], match.start()) for match in _PIECE.finditer(text))]
    if not re.sub(r"[\s()]", "", word):
        return _after(text, "", len(text), known)
    if word[0] in "=!<>~":
        longer = [c for c in _after(text[:start], word, start, known) if c.text != word]
        return longer + _after(text, "", len(text), known)
    found = _after(text[:start], word, start, known)
    if any(c.kind == "dimension" and c.text == word.lower() for c in found):
        operators = [c for c in _after(text, "", len(text), known) if c.kind == "operator"]
        found = [*operators, *(c for c in found if c.text != word.lower())]
    return found


def _after(head: str, word: str, start: int, known: Mapping[str, Sequence[str]]) -> list[Suggestion]:
    """Return what begins with `word` (or, of values, has it inside) and may follow the text `head`."""
    from lark.exceptions import UnexpectedInput

    try:
        state = grammar().parse_interactive(head)
        tokens = list(state.exhaust_lexer())
    except (UnexpectedInput, Problem):
        return []
    accepted: Collection[str] = state.accepts()  # type: ignore[no-untyped-call]
    if "OPERATOR" in accepted:
        return _operators(dimension_called(str(tokens[-1])), word, start)
    if "QUOTED" in accepted:
        return _values(dimension_called(str(tokens[-2])), word, start, known)
    result = [
        Suggestion(keyword, start, "keyword", doc)
        for terminal, (keyword, doc) in _WORDS.items()
        if terminal in accepted and keyword.startswith(word.lower()) and (word or _first_choice(terminal, accepted))
    ]
    if "WORD" in accepted and (word or "_AND" not in accepted):
        dimensions = [Suggestion(name, start, "dimension", d.doc) for name, d in WORDS.items()]
        result = [c for c in dimensions if c.text.lower().startswith(word.lower())] + result
    return result


def _first_choice(terminal: str, accepted: Collection[str]) -> bool:
    """Whether to offer a keyword before anything is typed: behind a condition only what joins or ends."""
    return "_AND" not in accepted or terminal in ("_AND", "_OR", "_RPAR")


def _operators(dimension: Dimension | None, word: str, start: int) -> list[Suggestion]:
    if dimension is None:
        return []
    operators = TEXT_OPERATORS if dimension.text else NUMBER_OPERATORS
    return [Suggestion(o, start, "operator", _OPERATORS[o]) for o in operators if o.startswith(word)]


def _values(dimension: Dimension | None, word: str, start: int, known: Mapping[str, Sequence[str]]) -> list[Suggestion]:
    if dimension is None:
        return []
    if not dimension.text and dimension.unit and _NUMBER.fullmatch(word):
        return [Suggestion(word + unit, start, "unit") for unit in UNITS[dimension.unit]]
    docs = dict.fromkeys(known.get(dimension.name, ()), "")
    if dimension.name == "syscall":
        docs |= {name: call.doc for name, call in BY_NAME.items() if call.native or name in docs}
        docs |= {alias: f"the kernel calls it {name}" for alias, name in CALL_ALIASES.items() if name in docs}
    elif dimension.name == "family":
        docs |= dict.fromkeys(FAMILIES, "")
    typed = word.lstrip('"').lower()
    fitting = [v for v in docs if typed in v.lower()]
    fitting.sort(key=lambda v: not v.lower().startswith(typed))
    return [Suggestion(quoted(v) if dimension.text else v, start, "value", docs[v]) for v in fitting]
