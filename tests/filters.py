"""Generated filters and rows, and what a filter means in plain Python: for the tests of every engine."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from hypothesis import strategies as st

from ior_nb.runtime import EventBatch, Filter
from ior_nb.runtime.filter import And, Errors, Mine, Node, Not, Number, Or, Probes, Text
from ior_nb.runtime.mine import MINE, kind_of
from ior_nb.runtime.patterns import shortest_match
from ior_nb.syscalls import BY_NAME
from tests.fakes import batch

CALLS: Final = ("read", "pread64", "openat", "close", "exit_group", "renameat2", "sendto", "futex", "newfstat")
COMMS: Final = (
    *("python3", "python", "Python", "bash", "kworker/0:1", "a b", "", "12", "12-x", "é", "x" * 15, "a*b", "a\\xff"),
    *("\u212aernel", "\u0130stanbul", "ΑΣ", "ΑΣΑ", "and", "a(b"),
)
FILES: Final = (
    *(
        "",
        "/tmp/a",
        "/tmp/A",
        "/tmp/a/b",
        "/tmp",
        "/",
        "/proc/1/stat",
        "/data/x.log",
        "5:file",
        "/a b",
        '/q"uote',
        "/*",
    ),
    *("/tab\there", "/ünï", "socket:[1]", "/tmp/a ", "^$", "not"),
)
NUMBERS: Final = {
    "pid": (1, 2, 3, 4_000_000),
    "tid": (1, 2, 3, 4_000_000),
    "fd": (-1, 0, 1, 3),
    "latency": (0, 1, 999, 1_000, 1_000_000, 1_500_000, 60_000_000_000),
    "gap": (0, 1, 1_000, 2_000_000),
    "time": (0, 1, 1_000_000_000, 86_400_000_000_000),
    "bytes": (0, 1, 1_000, 4_096, 65_536, 1 << 40),
    "ret": (0, 1, -1, -2, -4, -512, -515, 4_096),
    "cell": (-1, 0, 7),
}
STATES: Final = ("done", "done", "done", "no return", "in flight")


_COLUMN: Final = {"latency": "latency_ns", "gap": "gap_ns", "time": "time_ns"}


def _fitting(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as the decoder could make it: family, result, error flag and latency fit together."""
    ret = row["ret"] if row["state"] == "done" else 0
    error = -4095 <= ret < 0 and ret not in (-512, -513, -514, -516)
    latency = 0 if row["state"] == "no return" else row["latency_ns"]
    return {**row, "family": BY_NAME[row["syscall"]].family, "ret": ret, "is_error": error, "latency_ns": latency}


def rows() -> st.SearchStrategy[dict[str, Any]]:
    """One row."""
    columns = {
        "syscall": st.sampled_from(CALLS),
        "comm": st.sampled_from(COMMS),
        "file": st.sampled_from(FILES),
        "old_file": st.sampled_from(("", "", "", *FILES)),
        "state": st.sampled_from(STATES),
        **{_COLUMN.get(name, name): st.sampled_from(pool) for name, pool in NUMBERS.items()},
    }
    return st.fixed_dictionaries(columns).map(_fitting)


def batches(largest: int = 12) -> st.SearchStrategy[EventBatch]:
    """A batch of rows with tables of its own."""
    return st.lists(rows(), max_size=largest).map(
        lambda many: batch(**{name: [row[name] for row in many] for name in (many[0] if many else ())})
    )


def numbers(dimension: str | None = None) -> st.SearchStrategy[Number]:
    """A numeric comparison, near the values the rows have or anywhere."""
    one = st.sampled_from(tuple(NUMBERS)) if dimension is None else st.just(dimension)
    return one.flatmap(
        lambda name: st.builds(
            Number,
            st.just(name),
            st.sampled_from(("=", "!=", "<", "<=", ">", ">=")),
            st.sampled_from(NUMBERS[name]) | st.sampled_from(NUMBERS[name]) | st.integers(-(1 << 63), (1 << 63) - 1),
        )
    )


def _anchored(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, st.sampled_from(("", "^")), values, st.sampled_from(("", "$", "/*", "$$")))


def _starred(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}".format, st.sampled_from(("", "*")), values, st.sampled_from(("", "*", "*a", "*b*")))


def texts(dimension: str | None = None) -> st.SearchStrategy[Text]:
    """A text comparison that is legal as a text too."""
    if dimension is None:
        return st.sampled_from(("syscall", "family", "comm", "file")).flatmap(texts)
    contains, equals = st.sampled_from(("~", "!~")), st.sampled_from(("=", "!="))
    if dimension == "syscall":
        ask = st.sampled_from(("", "read", "^p", "64$", "^READ", "^read$", "at", "^", "$"))
        same = st.sampled_from((*CALLS, "p*", "*64", "*at*", "*"))
    elif dimension == "family":
        ask, same = st.sampled_from(("fs", "^net", "^FS$", "s$")), st.sampled_from(("FS", "Network", "Process", "*s"))
    else:
        pool = COMMS if dimension == "comm" else FILES
        values = st.sampled_from(pool) | st.sampled_from(pool).map(str.swapcase) | st.text(max_size=4)
        ask, same = _anchored(values), _starred(values) | st.sampled_from(pool)
    legal = st.builds(Text, st.just(dimension), contains, ask) | st.builds(Text, st.just(dimension), equals, same)
    if dimension == "comm":
        return legal.filter(lambda t: shortest_match(t.operator[-1], t.pattern) <= 15)
    return legal


def nodes() -> st.SearchStrategy[Node]:
    """A condition of any shape."""
    leaf: st.SearchStrategy[Node] = texts() | numbers() | st.just(Errors()) | st.just(Probes())

    def larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(inner, min_size=2, max_size=4).map(tuple)
        return st.builds(And, several) | st.builds(Or, several) | st.builds(Not, inner)

    return st.recursive(leaf, larger, max_leaves=8)


def filters() -> st.SearchStrategy[Filter]:
    """A filter of any shape."""
    return st.builds(Filter, nodes() | st.none())


def pushable(count: int, seed: int) -> list[Filter]:
    """Return that many different filters, with terms of every sort a kernel can take, among others."""
    r = random.Random(seed)
    found: dict[Filter, None] = {}
    while len(found) < count:
        found.setdefault(Filter.of(_term(r) for _ in range(r.randint(1, 4))))
    return list(found)


def _term(r: random.Random, depth: int = 0) -> Node:
    sort = r.randrange(12 if depth < 3 else 9)
    if sort < 2:
        return Number(r.choice(("pid", "tid")), r.choice(("=", "=", "=", "!=", "<")), r.choice(NUMBERS["pid"]))
    if sort < 4:
        operator = r.choice(("=", "!=", "<", "<=", ">", ">="))
        return Number("latency", operator, r.choice(NUMBERS["latency"]) + r.randrange(-1, 50))
    if sort < 6:
        dimension, values = r.choice((("syscall", CALLS), ("family", ("FS", "Network", "Process"))))
        return Text(dimension, r.choice(("=", "=", "!=", "~")), r.choice(values))
    if sort < 8:
        comm = r.choice(COMMS)
        patterns = (("=", comm), ("=", f"{comm[:7]}*"), ("~", f"^{comm}$"), ("~", f"^{comm[:3]}"), ("~", comm[1:4]))
        return Text("comm", *r.choice(patterns))
    if sort == 8:
        return r.choice(
            (
                Errors(),
                Probes(),
                Mine(),
                Number("ret", ">", r.choice(NUMBERS["ret"])),
                Text("file", "~", r.choice(FILES)),
            )
        )
    if sort == 9:
        return Not(_term(r, depth + 1))
    several = tuple(_term(r, depth + 1) for _ in range(r.randint(2, 3)))
    return Or(several) if sort == 10 else And(several)


def many_rows(count: int, seed: int) -> EventBatch:
    """Return a batch of that many rows."""
    r = random.Random(seed)
    made = [
        _fitting(
            {
                "syscall": r.choice(CALLS),
                "comm": r.choice(COMMS),
                "file": r.choice(FILES),
                "old_file": r.choice(("", *FILES)),
                "state": r.choice(STATES),
                **{_COLUMN.get(name, name): r.choice(pool) for name, pool in NUMBERS.items()},
            }
        )
        for _ in range(count)
    ]
    return batch(**{name: [row[name] for row in made] for name in made[0]})


def passes(node: Node | None, row: Any) -> bool:
    """Tell whether a row passes: the meaning of a filter, in plain Python."""
    match node:
        case None:
            return True
        case Errors():
            return bool(row["is_error"] and not row["probe"])
        case Mine():
            return MINE in (kind_of(row["file"]), kind_of(row["old_file"]))
        case Probes():
            return bool(row["probe"])
        case Not(part):
            return not passes(part, row)
        case And(parts):
            return all(passes(p, row) for p in parts)
        case Or(parts):
            return any(passes(p, row) for p in parts)
        case Number(dimension, operator, value):
            if dimension in ("latency", "ret") and row["state"] != "done":
                return False
            seen = row[_COLUMN.get(dimension, dimension)]
            found = {"=": seen == value, "<": seen < value, ">": seen > value}
            return found[operator] if operator in found else not found[{"!=": "=", "<=": ">", ">=": "<"}[operator]]
        case Text(dimension, operator, pattern):
            values = [row[dimension]]
            if dimension == "file" and row["old_file"]:
                values.append(row["old_file"])
            matches = _contains if operator.endswith("~") else _equals
            return any(matches(pattern, v) for v in values) != operator.startswith("!")


def _equals(pattern: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


def _contains(pattern: str, value: str) -> bool:
    if len(pattern) > 1 and pattern[0] == "^" and pattern[-1] == "$":
        return value == pattern[1:-1]
    if pattern[:1] == "^" and pattern[-2:] == "/*":
        directory, slash, entry = value.rpartition("/")
        return directory + slash == pattern[1:-1] and entry != ""
    small = _small(value)
    if pattern[:1] == "^":
        return small.startswith(_small(pattern[1:]))
    if pattern[-1:] == "$":
        return small.endswith(_small(pattern[:-1]))
    return _small(pattern) in small


def _small(text: str) -> str:
    """Lower case, character by character."""
    return "".join({"\u0130": "i", "ς": "σ"}.get(c, c.lower()) for c in text)
