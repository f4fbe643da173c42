"""From filter text to `Filter`, with plain words where the text is wrong."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ior_nb.errors import FilterSyntaxError
from ior_nb.globalfilter.values import UNITS, WORDS, dimension_called, whole_number
from ior_nb.runtime.filter import (
    DIMENSIONS,
    NUMBER_OPERATORS,
    TEXT_OPERATORS,
    And,
    Dimension,
    Errors,
    Filter,
    Mine,
    Node,
    Not,
    Number,
    Or,
    Probes,
    Text,
)
from ior_nb.runtime.patterns import NEGATIONS, exact_value, matcher, shortest_match
from ior_nb.runtime.pushdown import COMM_BYTES
from ior_nb.syscalls import ALIASES as CALL_ALIASES
from ior_nb.syscalls import BY_NAME, FAMILIES, resolve

if TYPE_CHECKING:
    from collections.abc import Collection

    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "grammar", "parse"]

MAX_DEPTH: Final = 100
"""How deep conditions may be nested: masks, hashes and the text form walk the tree by recursion."""
MAX_LENGTH: Final = 10_000
"""How long a filter text may be, in characters."""

_CONDITION: Final = "expected a condition such as pid=3, errors, not or ("
_QUOTE: Final = 'a value with blanks, parentheses, quotes or operators needs "double quotes"'
_INSTEAD: Final = {"&": "and", "&&": "and", "|": "or", "||": "or", "!": "not", ",": "and", ";": "and"}
_UNIT_APART: Final = re.compile(
    rf"[=<>]\s*([0-9.]+)\s+({'|'.join(sorted({u for units in UNITS.values() for u in units if u}))})\b", re.IGNORECASE
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED: Final = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


class Problem(Exception):
    """What is wrong, found while a term is being built."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def parse(text: str) -> Filter:
    """Return the filter of a text; empty text and `all` let everything pass.

    Raises:
        FilterSyntaxError: where the text is wrong, and what was expected there.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if len(text) > MAX_LENGTH:
        raise FilterSyntaxError(f"a filter has at most {MAX_LENGTH:,} characters", text, MAX_LENGTH)
    try:
        found: Any = grammar().parse(text)  # lark says a tree; the builder makes the filter
    except Problem as e:
        raise FilterSyntaxError(e.message, text, e.position) from None
    except UnexpectedToken as e:
        end = e.token.type == "$END"
        at, seen = (len(text), "the end") if end else (e.token.start_pos or 0, repr(str(e.token)))
        message, position = _unexpected(e.accepts or e.expected, _last_words(e), seen, at)
        if (unit := _UNIT_APART.search(text[: position + 4])) is not None and unit.start(2) == position:
            message = f"a unit stands right behind its number, without a blank: {unit[1]}{unit[2]}"
        raise FilterSyntaxError(message, text, position) from None
    except UnexpectedCharacters as e:
        place: Any = e.pos_in_stream  # lark says None; it is always set
        if text[place] == '"':
            raise FilterSyntaxError('this quote is never closed; write \\" for one inside', text, place) from None
        message, position = _unexpected(e.allowed, _last_words(e), repr(text[place]), place)
        raise FilterSyntaxError(message, text, position) from None
    assert isinstance(found, Filter)
    return found


def _last_words(problem: UnexpectedInput) -> list[Token]:
    """Return the words just read that belong to nothing finished yet."""
    stack = problem.interactive_parser.parser_state.value_stack
    return [word for word in stack[-2:] if hasattr(word, "start_pos")]


def _unexpected(expected: Collection[str], last: list[Token], seen: str, position: int) -> tuple[str, int]:
    """Return what to say, and where, when the grammar cannot go on."""
    found = seen.strip("'")
    hint = f"; write {_INSTEAD[found]}" if found in _INSTEAD else ""
    if "OPERATOR" in expected:
        try:
            dimension = _dimension(last[-1])
        except Problem as e:
            return e.message, e.position
        operators = TEXT_OPERATORS if dimension.text else NUMBER_OPERATORS
        return f"expected an operator after {last[-1]} ({' '.join(operators)}), found {seen}", position
    if "QUOTED" in expected:
        return f"expected a value after {''.join(last)}, found {seen}{_quoting(seen)}", position
    if "LPAR" in expected and "_AND" not in expected:
        return f"{_CONDITION}, found {seen}{hint}", position
    if last and last[-1].type in ("_ALL", "_ERRORS"):
        return f"{last[-1]} stands alone, found {seen}{hint}", position
    ending = "a closing )" if "_RPAR" in expected and "$END" not in expected else "the end"
    return f"expected and, or, or {ending}, found {seen}{hint or _quoting(seen)}", position


def _quoting(seen: str) -> str:
    return f"; {_QUOTE}" if seen[1:2] in tuple('=!~<>("') else ""


def _dimension(token: Token) -> Dimension:
    word, position = str(token), token.start_pos or 0
    name = word.lower()
    found = dimension_called(word)
    if found is not None:
        return found
    if name in _INSTEAD:
        raise Problem(f"write {_INSTEAD[name]} instead of {word}", position)
    if name in ("and", "or"):
        raise Problem(f"{_CONDITION}, found {word!r}", position)
    if name == "all":
        raise Problem("all stands alone: it is the filter that lets everything pass", position)
    close = get_close_matches(name, [*WORDS, "errors", "probes", "mine"], n=2)
    known = f"there are {' '.join(DIMENSIONS)} errors probes mine; {_QUOTE}"
    hint = f"did you mean {' or '.join(close)}?" if close else known
    raise Problem(f"unknown dimension {word!r}; {hint}", position)


def _unquoted(token: Token) -> str:
    """Return the text of a value."""
    raw, start = str(token), token.start_pos or 0
    if token.type == "WORD":
        if raw.startswith("'"):
            raise Problem('a value is quoted with "double quotes"', start)
        if raw.endswith((",", ";")):
            raise Problem(
                f'write and instead of {raw[-1]}; a value that ends in one needs "double quotes"', start + len(raw) - 1
            )
        return raw

    def replace(match: re.Match[str]) -> str:
        short, long, other = match.groups()
        if other is None and int(short or long, 16) < 0x110000:
            return chr(int(short or long, 16))
        if other not in _ESCAPED:
            known = r"\" \\ \n \r \t \uXXXX \UXXXXXXXX"
            raise Problem(f"unknown escape; there are {known}", start + 1 + match.start())
        return _ESCAPED[other]

    return _ESCAPE.sub(replace, raw[1:-1])


def _number(dimension: Dimension, operator: Token, value: Token) -> Number:
    start = (value.start_pos or 0) + (value.type == "QUOTED")
    try:
        return Number(dimension.name, str(operator), whole_number(_unquoted(value), dimension.unit))
    except LookupError as e:
        message, offset = e.args
        raise Problem(f"{dimension.name}: {message}", start + offset) from None


def _text(dimension: Dimension, operator: Token, value: Token) -> Text:
    pattern, position = _unquoted(value), value.start_pos or 0
    asked = NEGATIONS.get(operator, str(operator))
    if dimension.name == "syscall":
        pattern = _known("system call", asked, pattern, BY_NAME, CALL_ALIASES, position)
    elif dimension.name == "family":
        pattern = _known("family", asked, pattern, FAMILIES, {f.lower(): f for f in FAMILIES}, position)
    elif dimension.name == "comm" and (length := shortest_match(asked, pattern)) > COMM_BYTES:
        raise Problem(
            f"this can never match: the kernel keeps {COMM_BYTES} bytes of a thread's name, this needs {length}",
            position,
        )
    return Text(dimension.name, str(operator), pattern)


def _known(what: str, asked: str, pattern: str, names: Collection[str], aliases: dict[str, str], position: int) -> str:
    """Return the pattern, an alias replaced by the name; refuse what matches none of the names there are."""
    if any(map(matcher(asked, pattern), names)):
        return pattern
    value = exact_value(asked, pattern)
    if value is None:
        raise Problem(f"no {what} matches {pattern!r}", position)
    name = aliases.get(value) or aliases.get(value.lower())
    if name is None and what == "system call":
        try:
            name = resolve(value.lower()).name
        except LookupError as e:
            raise Problem(str(e), position) from None
    if name is None:
        close = get_close_matches(value.lower(), aliases, n=1)
        hint = f"did you mean {aliases[close[0]]}?" if close else f"there are {' '.join(names)}"
        raise Problem(f"unknown {what} {value!r}; {hint}", position)
    return name if asked == "=" else f"^{name}$"


class _Built(NamedTuple):
    """A condition, and how deep it is nested."""

    node: Node
    depth: int


def _joined(kind: type[And | Or], parts: tuple[_Built, ...]) -> _Built:
    if len(parts) == 1:
        return parts[0]
    return _Built(kind(tuple(p.node for p in parts)), 1 + max(p.depth for p in parts))


def _not_too_deep(built: _Built, opening: Token) -> _Built:
    if built.depth > MAX_DEPTH:
        raise Problem(f"nested too deep: at most {MAX_DEPTH} levels", opening.start_pos or 0)
    return built


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """Return the parser; made once, with lark imported only then. Any thread may use it."""
    from lark import Lark, Transformer, v_args

    class Builder(Transformer):  # type: ignore[type-arg]
        """Makes the filter while the text is parsed; called without recursion, so that no text is too deep for it."""

        @v_args(inline=True)
        def comparison(self, word: Token, operator: Token, value: Token) -> _Built:
            dimension = _dimension(word)
            operators = TEXT_OPERATORS if dimension.text else NUMBER_OPERATORS
            if operator not in operators:
                kind = "text" if dimension.text else "a number"
                message = f"{dimension.name} is {kind}: it takes {' '.join(operators)}"
                raise Problem(message, operator.start_pos or 0)
            return _Built((_text if dimension.text else _number)(dimension, operator, value), 1)

        @v_args(inline=True)
        def errors(self) -> _Built:
            return _Built(Errors(), 1)

        @v_args(inline=True)
        def probes(self) -> _Built:
            return _Built(Probes(), 1)

        @v_args(inline=True)
        def mine(self) -> _Built:
            return _Built(Mine(), 1)

        @v_args(inline=True)
        def negation(self, opening: Token, part: _Built) -> _Built:
            return _not_too_deep(_Built(Not(part.node), 1 + part.depth), opening)

        @v_args(inline=True)
        def group(self, opening: Token, part: _Built) -> _Built:
            return _not_too_deep(part, opening)

        def conjunction(self, parts: list[_Built]) -> _Built:
            return _joined(And, tuple(parts))

        def disjunction(self, parts: list[_Built]) -> _Built:
            return _joined(Or, tuple(parts))

        @v_args(inline=True)
        def something(self, whole: _Built) -> Filter:
            return Filter(whole.node)

        @v_args(inline=True)
        def everything(self) -> Filter:
            return Filter()

    return Lark.open(
        "grammar.lark",
        rel_to=__file__,
        parser="lalr",
        lexer="contextual",
        transformer=Builder(),
        maybe_placeholders=False,
    )
