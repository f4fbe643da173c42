"""`Hosts`: what several hosts send, published as one: their statistics and flame tries added up, or those of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ior_nb.errors import ConfigError
from ior_nb.real import Lock
from ior_nb.runtime import (
    FlameChoices,
    FlameColumns,
    Frame,
    RuntimePublisher,
    Sheet,
    Snapshot,
    SnapshotNode,
    Tree,
)
from ior_nb.runtime.frames import by_host
from ior_nb.runtime.sheet import RANKINGS, merged, shown, trees_merged
from ior_nb.sinks.flamegraph import FIELDS, METRICS, PRESETS
from ior_nb.sinks.flamegraph.fields import checked_fields, checked_metric
from ior_nb.sinks.flamegraph.picture import MIN_SHARE, Picture

__all__ = ["Frames", "Hosts"]

Frames = tuple[tuple[str, ...], str, str]
"""What a flame trie is asked for: its frames, its metric, and its second one; as `Tree.asked`."""

_TOP: Final = 64


@dataclass(slots=True)
class _Known:
    """What all views of some hosts share."""

    ask: Callable[[Frames], None]
    asked: Frames
    lock: Lock = field(default_factory=Lock)
    sheets: dict[str, Sheet] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    version: int = 0

    def of(self, host: str) -> tuple[list[Sheet], list[Tree], int]:
        """Return what one host sent last, or all did, and the version."""
        with self.lock:
            sheets = [sheet for name, sheet in self.sheets.items() if host in ("", name)]
            trees = [tree for name, tree in self.trees.items() if host in ("", name)]
            return sheets, trees, self.version

    def begin(self, asked: Frames) -> None:
        """Ask the hosts for other frames, or the same again from nothing."""
        with self.lock:
            self.asked = asked
            self.trees.clear()
            self.version += 1
        self.ask(asked)


class Hosts:
    """The newest sheet and tree of each host. Any thread may call any method.

    What is published is of all hosts, until somebody chooses one. Rows are never sent, so there is no stream.

    Args:
        publisher: the views.
        ask: tells the hosts what flame trie to make, from nothing. Called in the thread of whoever asks for it, so it
            may not take long.
        asked: what they make at first.
    """

    def __init__(
        self,
        publisher: RuntimePublisher,
        ask: Callable[[Frames], None] = lambda _: None,
        asked: Frames = (("comm", "syscall", "path"), "count", ""),
    ) -> None:
        self._publisher = publisher
        self._known = _Known(ask, asked)
        self._host = ""
        self._publish()

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that have sent anything, by name."""
        return tuple(sorted(self._known.sheets))

    @property
    def host(self) -> str:
        """The one that is shown; empty for all."""
        return self._host

    def take(self, host: str, sheet: Sheet, tree: Tree | None = None, *, ahead_ns: int = 0) -> None:
        """Take what a host knows now, in place of what it sent before.

        Args:
            host: its name.
            sheet: its statistics.
            tree: its flame trie; one of other frames than were asked for is from before, and is left out.
            ahead_ns: what makes its clock the one that all have in common.

        Raises:
            ConfigError: the host has no name.
        """
        if not host:
            raise ConfigError("a host without a name cannot be told from the others; give it one")
        known = self._known
        with known.lock:
            known.sheets[host] = sheet.of_host(host, ahead_ns)
            if tree is not None and tree.asked == known.asked:
                known.trees[host] = tree.of_host(host)
            known.version += 1

    def choose(self, host: str) -> None:
        """Show one host; empty for all.

        Raises:
            ConfigError: there is none of that name.
        """
        if host and host not in self.names:
            raise ConfigError(f"no host is called {host!r}; choose from {', '.join(self.names) or 'none so far'}")
        self._host = host
        self._publish()

    def _publish(self) -> None:
        """Publish what is chosen, as something new, so that views look again."""
        self._publisher.set_dashboard_snapshot_source(_Statistics(self._known, self._host))
        self._publisher.set_live_trie(_Trie(self._known, self._host))


@dataclass(frozen=True, slots=True, eq=False)
class _Statistics:
    """`SnapshotSource` and `SheetSource`."""

    known: _Known
    host: str

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        """Return the statistics of the chosen hosts."""
        if by not in RANKINGS:
            raise ValueError(f"cannot rank by {by!r}; one of {', '.join(RANKINGS)}")
        return shown(self.sheet(), top=_TOP if top is None else max(top, 0), by=by)

    def sheet(self, *, top: int | None = None, by: str = "count") -> Sheet:
        """Return the sum of the sheets, with every row that a host sent."""
        sheets, _, _ = self.known.of(self.host)
        return merged(sheets)


class _Trie:
    """`FlameSource` and `TreeSource`."""

    def __init__(self, known: _Known, host: str) -> None:
        self._known, self._host = known, host
        self._picture: Picture | None = None

    @property
    def version(self) -> int:
        """Grows with whatever a host sends, and when other frames are asked for."""
        return self._known.version

    @property
    def fields(self) -> tuple[str, ...]:
        """Frame fields, root first."""
        return self._known.asked[0]

    @property
    def count_field(self) -> str:
        """The metric that gives a frame its width."""
        return self._known.asked[1]

    @property
    def height_field(self) -> str:
        """The second metric, empty without one."""
        return self._known.asked[2]

    def choices(self) -> FlameChoices:
        """Return what fields, metrics and orders there are."""
        return FlameChoices(
            fields={name: kind.doc for name, kind in FIELDS.items()},
            metrics={name: metric.unit for name, metric in METRICS.items()},
            presets=PRESETS,
        )

    def reconfigure(self, fields: Sequence[str]) -> None:
        """Ask the hosts for other frames, and show nothing until they come."""
        self._known.begin((by_host(checked_fields(fields)), self.count_field, self.height_field))

    def set_count_field(self, name: str) -> None:
        """Ask the hosts for another metric; nothing happens for the same one."""
        self._measure(checked_metric(name), self.height_field)

    def set_height_field(self, name: str) -> None:
        """Ask the hosts for another second metric; nothing happens for the same one."""
        self._measure(self.count_field, checked_metric(name, optional=True))

    def _measure(self, count_field: str, height_field: str) -> None:
        if (count_field, height_field) != self._known.asked[1:]:
            self._known.begin((self.fields, count_field, height_field))

    def reset(self) -> None:
        """Ask the hosts to begin anew."""
        self._known.begin(self._known.asked)

    def tree(self, limit: int = 2000) -> Tree:
        """Return the sum of the trees."""
        _, trees, _ = self._known.of(self._host)
        return trees_merged(trees).pruned(limit)

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        """Return the sum as a tree."""
        picture = self._current()
        return picture.tree, picture.version

    def snapshot_json(self) -> tuple[bytes, int]:
        """Return the sum as JSON."""
        picture = self._current()
        return picture.json, picture.version

    def snapshot_columns(
        self, min_share: float = MIN_SHARE, limit: int = 2000, focus: Sequence[Frame] = ()
    ) -> FlameColumns:
        """Return the nodes of the sum as arrays."""
        return self._current().columns(min_share, limit, focus)

    def _current(self) -> Picture:
        picture = self._picture
        if picture is None or picture.version != self._known.version:
            _, trees, version = self._known.of(self._host)
            self._picture = picture = Picture.of(trees_merged(trees), version)
        return picture
