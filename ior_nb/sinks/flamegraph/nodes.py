"""The tree as arrays: node 0 is the root, and a child always has a larger number than its parent."""

from __future__ import annotations

import numpy as np

from ior_nb.runtime import StringTable
from ior_nb.runtime.index import Index, grown, rows_of
from ior_nb.runtime.sheet.tree import OTHER, add_up, largest, ranks
from ior_nb.runtime.shown import FOLDED, ROOT

__all__ = ["Nodes"]


class Nodes:
    """All nodes, and which node has which frames above it.

    Args:
        tall: whether a second value, the height, is kept.

    Attributes:
        count: how many there are, the root included; only so many places of the arrays mean anything.
        parents: number of the parent, -1 for the root.
        names: number of the name in `texts`.
        fields: place of its field among those of the trie, `ROOT` or `FOLDED`.
        depths: 0 for the root.
        own: value of each node without its children's.
        heights: the second value, None without one.
        texts: the names; code 0, the empty one, is the root's.

    `parents`, `names`, `fields` and `depths` are never written twice in one place: who holds them and a count holds a
    copy.
    """

    def __init__(self, *, tall: bool) -> None:
        self.texts = StringTable([OTHER])
        self.count = 1
        self.parents = np.full(1, -1, np.int32)
        self.names = np.zeros(1, np.int32)
        self.fields = np.full(1, ROOT, np.int8)
        self.depths = np.zeros(1, np.int32)
        self.own = np.zeros(1, np.int64)
        self.heights = np.zeros(1, np.int64) if tall else None
        self._by_hash = Index()
        self._others = np.zeros(1, np.int32)  # by node: its leaf of folded frames, 0 without one

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the node of each hash, a negative number where there is none."""
        return self._by_hash.find(hashes)

    def make(
        self, hashes: np.ndarray, field: int, names: np.ndarray, depths: np.ndarray, above: np.ndarray
    ) -> np.ndarray:
        """Return the nodes of frames, making those that are not there.

        Args:
            hashes: of the frames from the root down to each, shape (n,).
            field: their field.
            names: numbers of their names, shape (n,).
            depths: shape (n,), 1 below the root.
            above: node of the frame above, shape (n,); negative where that is the frame before in these arrays.
        """
        nodes, new = self._by_hash.number(hashes, self.count, ranks(depths))
        parents = above.take(new)
        self._append(np.where(parents < 0, nodes.take(new - 1), parents), field, names.take(new), depths.take(new))
        return nodes

    def others_of(self, nodes: np.ndarray) -> np.ndarray:
        """Return the leaf of folded frames below each node, making those that are missing."""
        new = np.unique(nodes[self._others.take(nodes) == 0])
        if len(new):
            self._others[new] = np.arange(self.count, self.count + len(new))
            name = np.full(len(new), self.texts.intern(OTHER), np.int32)
            self._append(new, FOLDED, name, self.depths.take(new) + 1)
        return self._others.take(nodes)

    def _append(self, parents: np.ndarray, field: int, names: np.ndarray, depths: np.ndarray) -> None:
        first, self.count = self.count, self.count + len(parents)
        self._grow()
        self.fields[first : self.count] = field
        for array, values in ((self.parents, parents), (self.names, names), (self.depths, depths)):
            array[first : self.count] = values

    def add(self, nodes: np.ndarray, values: np.ndarray, heights: np.ndarray | None = None) -> None:
        """Add to the nodes' own values; one may be there many times."""
        nodes = nodes.astype(np.intp)  # else both calls below convert them, slowly
        np.add.at(self.own, nodes, values)
        if self.heights is not None and heights is not None:
            np.add.at(self.heights, nodes, heights)

    def _grow(self) -> None:
        self.parents, self.names = grown(self.parents, self.count), grown(self.names, self.count)
        self.depths, self.own = grown(self.depths, self.count), grown(self.own, self.count)
        self.fields, self._others = grown(self.fields, self.count), grown(self._others, self.count)
        if self.heights is not None:
            self.heights = grown(self.heights, self.count)

    def fold(self, target: int) -> tuple[np.ndarray, int]:
        """Fold small subtrees into one leaf per parent, called `OTHER`, until `target` nodes are left beside the root.

        The total of every node that stays is what it was.

        Returns:
            The new number of each old node, -1 where it was folded; and the smallest total of those that stay.
        """
        count = self.count
        parents, depths = self.parents[:count], self.depths[:count]
        totals = add_up(self.own[:count], parents, depths)
        other = self.fields[:count] == FOLDED
        above = parents.copy()
        above[0] = 0
        # The leaves of earlier foldings always go, into the new ones.
        worth = np.where(other, -1, totals)
        wanted = target + 1
        while True:
            stay = largest(worth, wanted)
            folded = ~stay & stay[above]  # the tops of what goes
            per_parent = np.bincount(parents[folded], minlength=count)
            size = int(stay.sum() + (per_parent > 0).sum())
            if size <= target + 1 or wanted == 1:
                break
            wanted = max(1, wanted - max(size - target - 1, wanted // 16))
        is_leaf = np.ones(count, bool)
        is_leaf[parents[1:]] = False
        # A lone leaf keeps its name: a leaf in its place would be as large.
        alone = folded & is_leaf & (per_parent == 1)[above]
        moved = self._rebuild(rows_of(stay | alone), rows_of(folded & ~alone), totals)
        return moved, int(totals[stay].min())

    def _rebuild(self, kept: np.ndarray, tops: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """Keep only some nodes; give the subtrees under `tops` to a new leaf of their parents."""
        old = self.count
        moved = np.full(old, -1, np.int32)
        moved[kept] = np.arange(len(kept))
        givers, places = np.unique(self.parents[tops], return_inverse=True)
        places += len(kept)
        if self.heights is not None:
            below = add_up(self.heights[:old], self.parents[:old], self.depths[:old])
            self.heights = np.concatenate([self.heights[kept], np.zeros(len(givers), np.int64)])
            np.add.at(self.heights, places, below[tops])
        self.own = np.concatenate([self.own[kept], np.zeros(len(givers), np.int64)])
        np.add.at(self.own, places, totals[tops])
        above = moved[self.parents[kept]]
        above[0] = -1
        self.parents = np.concatenate([above, moved[givers]])
        self.depths = np.concatenate([self.depths[kept], self.depths[givers] + 1])
        other = self.texts.intern(OTHER)
        self.names = np.concatenate([self.names[kept], np.full(len(givers), other, np.int32)])
        self.fields = np.concatenate([self.fields[kept], np.full(len(givers), FOLDED, np.int8)])
        self.count = len(self.own)
        self._others = np.zeros(self.count, np.int32)
        leaves = rows_of(self.fields == FOLDED)
        self._others[self.parents[leaves]] = leaves
        self._by_hash.renumber(moved)
        return moved

    def renamed(self) -> None:
        """Drop the names no node has any more; the others get new numbers."""
        used, names = np.unique(self.names[: self.count], return_inverse=True)
        texts = StringTable([OTHER])
        self.names = texts.intern_many([self.texts[i] for i in used.tolist()])[names]
        self.texts = texts
