"""A frozen copy of the trie, and its forms: tree, JSON, columns for an icicle, folded stacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Final

import numpy as np

from ior_nb.runtime import FlameColumns, Frame, SnapshotNode, StringTable
from ior_nb.runtime.sheet.tree import Tree, add_up, depths_of, largest
from ior_nb.runtime.shown import FOLDED

__all__ = ["MIN_SHARE", "Picture"]

MIN_SHARE: Final = 0.001
"""A node with less than this share of the root's total is not shown."""
_SPARED: Final = 8
_ID_MASK: Final = (1 << 53) - 1  # JavaScript and float64 hold such a number exactly


@dataclass(frozen=True, eq=False)
class Picture:
    """The trie at one version. What is expensive is computed once, when it is first asked for."""

    version: int
    texts: StringTable
    kinds: tuple[str, ...]
    metrics: tuple[str, str]
    parents: np.ndarray
    fields: np.ndarray
    names: np.ndarray
    depths: np.ndarray
    own: np.ndarray
    tall: np.ndarray | None

    @classmethod
    def of(cls, tree: Tree, version: int) -> Picture:
        """Return the picture of a tree."""
        texts = StringTable()
        codes = texts.intern_many(tree.texts)
        return cls(
            version=version,
            texts=texts,
            kinds=tree.kinds,
            metrics=(tree.count_field, tree.height_field),
            parents=tree.parents,
            fields=tree.fields,
            names=codes[tree.names],
            depths=depths_of(tree.parents),
            own=tree.own,
            tall=tree.heights if tree.height_field else None,
        )

    def without(self, kind: str) -> Picture:
        """Return the same without a field whose frames are all of one name: what is below them moves up."""
        at, nodes = self.kinds.index(kind), np.arange(len(self.own))
        gone = self.fields == at
        into = np.where(gone, self.parents, nodes)
        # Where the frame above has a leaf of folded frames too, the two become one.
        leaves = np.flatnonzero(self.fields == FOLDED)
        others = np.zeros(len(nodes), np.int64)
        moved = gone[self.parents[leaves]]
        others[self.parents[leaves[~moved]]] = leaves[~moved]
        there = others[into[self.parents[leaves[moved]]]]
        into[leaves[moved]] = np.where(there, there, leaves[moved])
        stays = into == nodes
        kept, place = np.flatnonzero(stays), (np.cumsum(stays) - 1)[into]

        def summed(values: np.ndarray) -> np.ndarray:
            found = np.zeros(len(kept), values.dtype)
            np.add.at(found, place, values)
            return found

        parents = place[self.parents[kept]]
        parents[0] = -1
        fields = self.fields[kept]
        return replace(
            self,
            kinds=(*self.kinds[:at], *self.kinds[at + 1 :]),
            parents=parents,
            fields=fields - (fields > at),
            names=self.names[kept],
            depths=depths_of(parents),
            own=summed(self.own),
            tall=None if self.tall is None else summed(self.tall),
        )

    @cached_property
    def totals(self) -> np.ndarray:
        """Sum over each node's subtree."""
        return add_up(self.own, self.parents, self.depths)

    @cached_property
    def heights(self) -> np.ndarray:
        """Sum of the height metric over each node's subtree, 0 without one."""
        return np.zeros_like(self.own) if self.tall is None else add_up(self.tall, self.parents, self.depths)

    @cached_property
    def tree(self) -> SnapshotNode:
        """The visible nodes as a tree."""
        order, below = self._first_look
        built: dict[int, SnapshotNode] = {}
        for node, (name, value, total, height) in zip(reversed(order), reversed(self._rows(order)), strict=True):
            children = tuple(map(built.pop, below[node]))  # backwards, children come before their parents
            built[node] = SnapshotNode(name=name, value=value, total=total, children=children, height=height)
        return built[0]

    @cached_property
    def json(self) -> bytes:
        """The visible nodes as JSON: n name, v own value, t total, ht height unless 0, c children unless none."""
        order, _ = self._first_look
        depths = self.depths[order].tolist()
        parts: list[str] = []
        # Without recursion: a path may have thousands of components.
        for row, depth, following in zip(self._rows(order), depths, [*depths[1:], 0], strict=True):
            name, value, total, height = row
            parts.append(f'{{"n":{json.dumps(name)},"v":{value},"t":{total}')
            if height:
                parts.append(f',"ht":{height}')
            parts.append(',"c":[' if following > depth else "}" + "]}" * (depth - following) + ",")
        return "".join(parts).removesuffix(",").encode()

    def columns(self, min_share: float, limit: int, focus: Sequence[Frame]) -> FlameColumns:
        """Return the visible nodes as arrays; `LiveTrie.snapshot_columns` says what the arguments mean."""
        way = self._way(focus)
        visible, ranks = self._visible(min_share), self.totals
        if len(way) > 1:
            inside = self._inside(way[-1], self.totals[way[-1]] * min_share)
            visible = visible.copy()
            visible[way] = visible[inside] = True
            ranks = ranks.copy()
            ranks[way] += ranks[0]
            ranks[inside] += ranks[0]
        nodes = np.flatnonzero(visible)
        if len(nodes) > limit:
            nodes = nodes[largest(ranks[nodes], max(1, limit))]
        order, _ = self._in_order(nodes)
        labels = np.empty(len(order), object)
        labels[:] = self._texts(order)
        fields = self.fields[order]
        ids, parents = {0: 0, -1: -1}, self.parents[order].tolist()
        for node, parent, field, label in zip(order[1:], parents[1:], fields[1:].tolist(), labels[1:], strict=True):
            kind = self.kinds[field] if field >= 0 else ""
            digest = blake2b(f"{ids[parent]} {kind} {label}".encode(errors="surrogatepass"), digest_size=8).digest()
            ids[node] = int.from_bytes(digest) & _ID_MASK
        return FlameColumns(
            ids=np.array([ids[node] for node in order], np.int64),
            parents=np.array([ids[parent] for parent in parents], np.int64),
            labels=labels,
            fields=fields,
            values=self.own[order],
            totals=self.totals[order],
            heights=self.heights[order],
            version=self.version,
        )

    @cached_property
    def folded(self) -> str:
        """All nodes with a value as collapsed stacks: frames joined by `;`, a blank, the value; by text."""
        names = [t.replace("\n", "\\x0a").replace("\r", "\\x0d").replace(";", "\\x3b") for t in self.texts]
        names.append("[other]")
        texts = np.where(self.fields == FOLDED, len(names) - 1, self.names).tolist()
        parents = self.parents.tolist()
        stacks: dict[str, int] = {}
        nodes = np.flatnonzero(self.own)
        for leaf, value in zip(nodes.tolist(), self.own[nodes].tolist(), strict=True):
            frames, node = [], leaf
            while node > 0:
                frames.append(names[texts[node]])
                node = parents[node]
            stack = ";".join(reversed(frames)) or "[unknown]"
            stacks[stack] = stacks.get(stack, 0) + value
        return "".join([f"{stack} {value}\n" for stack, value in sorted(stacks.items())])

    @cached_property
    def _first_look(self) -> tuple[list[int], dict[int, list[int]]]:
        return self._in_order(np.flatnonzero(self._visible(MIN_SHARE)))

    def _texts(self, nodes: Sequence[int] | np.ndarray) -> list[str]:
        return [self.texts[code] for code in self.names[nodes].tolist()]

    def _rows(self, order: list[int]) -> list[tuple[str, int, int, int]]:
        numbers = (values[order].tolist() for values in (self.own, self.totals, self.heights))
        return list(zip(self._texts(order), *numbers, strict=True))

    def _in_order(self, nodes: np.ndarray) -> tuple[list[int], dict[int, list[int]]]:
        """Return nodes depth first, siblings by name, and the children of each."""
        below: dict[int, list[int]] = {node: [] for node in nodes.tolist()}
        numbers = (values[nodes].tolist() for values in (self.fields, self.parents))
        for _, _, parent, node in sorted(zip(self._texts(nodes), *numbers, nodes.tolist(), strict=True)):
            if node:
                below[parent].append(node)
        order, waiting = [], [0]
        while waiting:
            order.append(waiting.pop())
            waiting.extend(reversed(below[order[-1]]))
        return order, below

    def _visible(self, min_share: float) -> np.ndarray:
        """Mark the nodes with at least that share, and the largest children of a node on top that had none left."""
        totals = self.totals
        if not totals[0]:
            return np.ones(len(totals), bool)
        visible: np.ndarray = totals / totals[0] >= min_share
        for depth in (1, 2):
            nodes = np.flatnonzero(self.depths == depth)
            parents = self.parents[nodes]
            bare = visible.copy()
            bare[parents[visible[nodes]]] = False
            nodes = nodes[bare[parents] & (totals[nodes] > 0)]
            nodes = nodes[np.lexsort((-totals[nodes], self.parents[nodes]))]
            for group in np.split(nodes, np.flatnonzero(np.diff(self.parents[nodes])) + 1):
                visible[self._first_few(group)] = True
        return visible

    def _first_few(self, nodes: np.ndarray) -> np.ndarray:
        """Return the first of nodes that come by total; equal ones by name."""
        if len(nodes) <= _SPARED:
            return nodes
        totals = self.totals[nodes]
        ties = nodes[totals == totals[_SPARED - 1]]
        first = nodes[totals > totals[_SPARED - 1]]
        by_name = sorted(zip(self._texts(ties), self.fields[ties].tolist(), ties.tolist(), strict=True))
        return np.array([*first.tolist(), *(node for *_, node in by_name[: _SPARED - len(first)])])

    def _way(self, focus: Sequence[Frame]) -> list[int]:
        """Return the nodes from the root to a node given by its frames; the root alone when one is not there."""
        way = [0]
        for kind, name in focus:
            field = self.kinds.index(kind) if kind in self.kinds else FOLDED
            named = (self.fields == field) & (self.names == self.texts.code(name))
            found = np.flatnonzero(named & (self.parents == way[-1]))
            if not len(found):
                return [0]
            way.append(int(found[0]))
        return way

    def _inside(self, top: int, least: float) -> np.ndarray:
        """Return the nodes below `top` with at least that total."""
        depth = self.depths[top]
        nodes = np.flatnonzero((self.depths > depth) & (self.totals >= max(least, 1)))
        at = nodes
        while True:
            deep = self.depths[at] > depth
            if not deep.any():
                break
            at = np.where(deep, self.parents[at], at)
        below: np.ndarray = nodes[at == top]
        return below
