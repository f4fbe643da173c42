"""What was asked of the objects of a store, beside what came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ior_nb.runtime.completeness import is_map, json_of, whole_number
from ior_nb.runtime.text import printable

__all__ = ["Asked", "Ranges", "asked_of", "pairs_of", "summed"]

Ranges = tuple[tuple[int | None, int | None], ...]
"""Parts of an object: first byte and the one behind the last; (None, n): its last n bytes; (n, None): from n on."""
_MOST: Final = 2_000
_BODILESS: Final = ("HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH")
"""Methods whose answer is not the object."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of one object."""

    methods: tuple[str, ...]
    requests: int
    whole: int
    """Requests for the whole of it, or for a part without an end: how much that is, only the answer tells."""
    bytes: int
    """Bytes asked for by ranges, each as often as it was."""
    distinct: int
    """The same, each once."""


def summed(requests: Iterable[tuple[str, str, Ranges]]) -> dict[str, Asked]:
    """Return what requests asked for, by object.

    Args:
        requests: object, method and ranges of each.
    """
    by_name: dict[str, list[tuple[str, Ranges]]] = {}
    for name, method, ranges in requests:
        by_name.setdefault(name, []).append((method, ranges))
    return {name: _of_one(found) for name, found in by_name.items()}


def _of_one(requests: list[tuple[str, Ranges]]) -> Asked:
    reads = [ranges for method, ranges in requests if method not in _BODILESS]
    parts = [part for ranges in reads for part in ranges]
    known = sorted((begin, end) for begin, end in parts if begin is not None and end is not None and end > begin)
    tails = [end for begin, end in parts if begin is None and end is not None]
    distinct, reached = max(tails, default=0), 0
    for begin, end in known:
        distinct += max(end - max(begin, reached), 0)
        reached = max(reached, end)
    return Asked(
        methods=tuple(sorted({method for method, _ in requests})),
        requests=len(requests),
        whole=sum(not ranges or any(begin is not None and end is None for begin, end in ranges) for ranges in reads),
        bytes=sum(end - begin for begin, end in known) + sum(tails),
        distinct=distinct,
    )


def pairs_of(asked: Mapping[str, Asked]) -> dict[str, str]:
    """Return it as metadata of files; of very many objects those with the most requests."""
    best = sorted(asked.items(), key=lambda item: -item[1].requests)[:_MOST]
    rows = {name: [one.requests, one.whole, one.bytes, one.distinct, *one.methods] for name, one in best}
    return {"ior_nb.objects": json.dumps(rows)} if rows else {}


def asked_of(pairs: Mapping[str, str]) -> dict[str, Asked]:
    """Return what a footer says of it; anybody may have written that."""
    found = json_of(pairs, "ior_nb.objects")
    asked = {}
    for name, row in list(found.items())[:_MOST] if is_map(found) else ():
        if not isinstance(row, list) or len(row) < 4:
            continue
        requests, whole, size, distinct = (max(whole_number(value) or 0, 0) for value in row[:4])
        methods = tuple(printable(word)[:20] for word in row[4:24] if isinstance(word, str))
        asked[str(name)] = Asked(methods, requests, whole, size, distinct)
    return asked
