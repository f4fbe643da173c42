"""`Tree`: the flame trie at one moment, so that those of several hosts can be added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from ior_nb.errors import ConfigError
from ior_nb.runtime.sheet.packed import Contents, pack, unpack
from ior_nb.runtime.shown import FOLDED, ROOT

__all__ = [
    "OTHER",
    "Tree",
    "add_up",
    "depths_of",
    "largest",
    "ranks",
    "tree_from_bytes",
    "tree_to_bytes",
    "trees_merged",
]

OTHER: Final = "[other;]"
"""Name of the leaf that stands for folded frames. A traced name may be called so: what a frame is its field tells."""
_KIND: Final = 2
_NODES: Final = 1 << 16
"""Nodes of a tree that is read at most."""
_DEPTH: Final = 1 << 12
"""And how deep they are: a path has 2,048 parts at most."""
_FIELDS: Final = 16
_LARGEST: Final = 2.0**62


def _root(value: int) -> np.ndarray:
    return np.full(1, value, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """A flame trie. Node 0 is the root, and a child has a larger number than its parent; arrays are int64.

    `trees_merged` is associative and commutative, and `Tree()` adds nothing.
    """

    kinds: tuple[str, ...] = ()
    """The fields of frames, root first."""
    count_field: str = ""
    height_field: str = ""
    texts: tuple[str, ...] = ("",)
    """Names, each once."""
    parents: np.ndarray = field(default_factory=lambda: _root(-1))
    names: np.ndarray = field(default_factory=lambda: _root(0))
    """Places in `texts`."""
    fields: np.ndarray = field(default_factory=lambda: _root(ROOT))
    """Place of a node's field in `kinds`, `ROOT`, or `FOLDED` for the leaf that stands for what has no node."""
    own: np.ndarray = field(default_factory=lambda: _root(0))
    """Value of each node without its children's."""
    heights: np.ndarray = field(default_factory=lambda: _root(0))
    """The same of the second metric."""

    @property
    def asked(self) -> tuple[tuple[str, ...], str, str]:
        """What the trie was asked for: trees of different answers cannot be added up."""
        return self.kinds, self.count_field, self.height_field

    def merge(self, other: Tree) -> Tree:
        """Return the sum of two."""
        return trees_merged((self, other))

    def of_host(self, host: str) -> Tree:
        """Return the tree as that of a host, which is a frame where it is asked for: no row says it while traced."""
        if "host" not in self.kinds:
            return self
        at, count = self.kinds.index("host"), len(self.own)
        above = (self.fields < at) & (self.fields != FOLDED)
        below = np.flatnonzero((self.fields > at) & above[np.maximum(self.parents, 0)])
        ends = above & ((self.own > 0) | (self.heights > 0))
        ends[self.parents[below]] = True
        which = np.flatnonzero(ends)
        place = np.zeros(count, np.int64)
        place[which] = np.arange(count, count + len(which))
        parents = self.parents.copy()
        parents[below] = place[parents[below]]
        return trees_merged(
            [
                replace(
                    self,
                    texts=(*self.texts, host),
                    parents=np.append(parents, which),
                    names=np.append(self.names, np.full(len(which), len(self.texts))),
                    fields=np.append(self.fields, np.full(len(which), at)),
                    own=np.append(np.where(ends, 0, self.own), self.own[which]),
                    heights=np.append(np.where(ends, 0, self.heights), self.heights[which]),
                )
            ]
        )

    def pruned(self, limit: int) -> Tree:
        """Return the largest nodes, so many at most, each with a leaf of what was left out below it."""
        if len(self.own) <= limit + 1:
            return self
        depths = depths_of(self.parents)
        totals = add_up(self.own, self.parents, depths)
        stay = largest(totals, limit + 1)
        tops = np.flatnonzero(~stay & stay[np.maximum(self.parents, 0)])
        moved = np.cumsum(stay) - 1
        kept = np.flatnonzero(stay)
        other = self.texts.index(OTHER) if OTHER in self.texts else len(self.texts)
        below = add_up(self.heights, self.parents, depths)
        parents = np.concatenate([moved[self.parents[kept]], moved[self.parents[tops]]])
        parents[0] = -1
        return trees_merged(
            [
                Tree(
                    kinds=self.kinds,
                    count_field=self.count_field,
                    height_field=self.height_field,
                    texts=self.texts if other < len(self.texts) else (*self.texts, OTHER),
                    parents=parents,
                    names=np.concatenate([self.names[kept], np.full(len(tops), other)]),
                    fields=np.concatenate([self.fields[kept], np.full(len(tops), FOLDED)]),
                    own=np.concatenate([self.own[kept], totals[tops]]),
                    heights=np.concatenate([self.heights[kept], below[tops]]),
                )
            ]
        )


def trees_merged(trees: Iterable[Tree]) -> Tree:
    """Return the sum of trees: every node that one of them has, with what all of them have there.

    Raises:
        ConfigError: they were not asked for the same frames and metrics, or the sums are too large to be counted.
    """
    parts = list(trees)
    asked = {part.asked for part in parts if part.kinds}
    if len(asked) > 1:
        said = " and of ".join(", ".join((*kinds, *filter(None, metrics))) for kinds, *metrics in sorted(asked))
        raise ConfigError(f"flame graphs of {said} cannot be added up: ask all for the same frames and metrics")
    kinds, count_field, height_field = asked.pop() if asked else Tree().asked
    own = np.concatenate([_root(0)[:0], *(part.own for part in parts)])
    heights = np.concatenate([_root(0)[:0], *(part.heights for part in parts)])
    if max(float(own.sum(dtype=np.float64)), float(heights.sum(dtype=np.float64))) >= _LARGEST:
        raise ConfigError(f"{len(parts)} flame graphs cannot be added up: their sums are too large to be counted")
    texts = sorted({"", *(text for part in parts for text in np.array(part.texts, object)[np.unique(part.names)])})
    place = {text: at for at, text in enumerate(texts)}
    # All nodes side by side, those of each tree with the numbers of the sum, level by level.
    starts = np.cumsum([0, *(len(part.own) for part in parts)]).tolist()
    above = np.concatenate([_root(0)[:0], *(p.parents + s for p, s in zip(parts, starts, strict=False))])
    depths = np.concatenate([_root(0)[:0], *(depths_of(part.parents) for part in parts)])
    fields = np.concatenate([_root(0)[:0], *(part.fields for part in parts)])
    names = [np.fromiter((place.get(t, 0) for t in p.texts), np.int64, len(p.texts))[p.names] for p in parts]
    named = np.concatenate([_root(0)[:0], *names])
    moved = np.zeros(len(own), np.int64)
    found = [np.array([[-1, ROOT, 0]])]
    count = 1
    for level in _levels(depths)[1:]:
        keys = np.stack([moved[above[level]], fields[level], named[level]], axis=1)
        order = np.lexsort(keys.T[::-1])
        new = np.concatenate([[True], (np.diff(keys[order], axis=0) != 0).any(axis=1)])
        moved[level[order]] = count + np.cumsum(new) - 1
        found.append(keys[order][new])
        count += int(new.sum())
    nodes = np.concatenate(found)
    summed, tall = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.add.at(summed, moved, own)
    np.add.at(tall, moved, heights)
    return Tree(
        kinds=kinds,
        count_field=count_field,
        height_field=height_field,
        texts=tuple(texts),
        parents=nodes[:, 0],
        names=nodes[:, 2],
        fields=nodes[:, 1],
        own=summed,
        heights=tall,
    )


def tree_to_bytes(tree: Tree) -> bytes:
    """Return a tree as bytes: some 10 kB with 2,000 nodes."""
    nodes = np.stack([tree.parents, tree.names, tree.fields, tree.own, tree.heights])
    asked = [tree.count_field, tree.height_field, *tree.kinds]
    return pack(_KIND, {"asked": asked, "texts": tree.texts}, {"nodes": nodes})


def tree_from_bytes(data: bytes) -> Tree:
    """Return the tree that a host sent.

    Raises:
        SourceError: it is no tree, of another version, or says what cannot be.
    """
    return unpack(_KIND, data, _tree)


def _tree(contents: Contents) -> Tree:
    asked, texts = contents.texts("asked"), contents.texts("texts")
    if not 2 <= len(asked) <= 2 + _FIELDS or len(set(texts)) < len(texts):
        raise ValueError("its frames are not said, or names are there twice")
    parents, names, fields, own, heights = contents.numbers("nodes", 5, -1, least=FOLDED)
    count = len(parents)
    if not 1 <= count <= _NODES:
        raise ValueError(f"it has {count:,} nodes")
    if parents[0] != -1 or fields[0] != ROOT or (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, count)).any():
        raise ValueError("its nodes are no tree")
    if int(depths_of(parents).max()) > _DEPTH:
        raise ValueError("its nodes are too deep")
    if (fields[1:] == ROOT).any() or int(fields.max()) >= len(asked) - 2:
        raise ValueError("it has frames of no field")
    if int(names.min()) < 0 or int(names.max()) >= len(texts):
        raise ValueError("it has frames without a name")
    if min(int(own.min()), int(heights.min())) < 0 or max(own.sum(dtype=float), heights.sum(dtype=float)) > 2.0**60:
        raise ValueError("its values are too large to be added up, or below 0")
    return Tree(
        kinds=asked[2:],
        count_field=asked[0],
        height_field=asked[1],
        texts=texts,
        parents=parents,
        names=names,
        fields=fields,
        own=own,
        heights=heights,
    )


# ---- numbers about nodes


def depths_of(parents: np.ndarray) -> np.ndarray:
    """Return how deep each node is, the root 0."""
    depths, above = (parents >= 0).astype(np.int64), np.maximum(parents, 0)
    while above.any():  # twice as far up each time
        depths += depths[above]
        above = above[above]
    return depths


def add_up(own: np.ndarray, parents: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Return the sum over each node's subtree, all nodes of one depth at once, the deepest first."""
    totals = own.copy()
    for level in _levels(depths)[:0:-1]:
        np.add.at(totals, parents[level], totals[level])
    return totals


def _levels(depths: np.ndarray) -> list[np.ndarray]:
    """Return the nodes of each depth, those of the root first."""
    return np.split(ranks(depths).argsort(kind="stable"), np.bincount(depths).cumsum()[:-1])


def ranks(depths: np.ndarray) -> np.ndarray:
    """Return depths so that they are sorted fast: numpy sorts 16 bits by counting, ten times as fast."""
    return depths.astype(np.uint16) if depths.max(initial=0) < 2**16 else depths


def largest(ranks: np.ndarray, wanted: int) -> np.ndarray:
    """Mark the `wanted` nodes of the largest rank, of equal ones the older. So a node never goes before its child."""
    if wanted >= len(ranks):
        return ranks >= 0
    bound = np.partition(ranks, len(ranks) - wanted)[len(ranks) - wanted]
    chosen: np.ndarray = ranks > bound
    ties = np.flatnonzero(ranks == bound)
    chosen[ties[: wanted - int(chosen.sum())]] = True
    return chosen & (ranks >= 0)
