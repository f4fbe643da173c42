"""Which hooks a kernel has that not every kernel has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from ior_nb.engine.collector import hooks as module
from ior_nb.engine.collector.btf import Btf
from ior_nb.engine.collector.hooks import also_there, event_numbers, numbers_in, remember

SLEEPS = "sched_info.run_delay sched_info.last_arrival se.cfs_rq in_iowait rq clock".split()
CACHE = "mapping flags host f_mapping s_bdev".split()


class Kernel:
    """A kernel with some hooks, and some members of structs."""

    def __init__(self, hooks: Sequence[str], members: Sequence[str]) -> None:
        self._hooks, self._members = hooks, members

    def has_hook(self, hook: str) -> bool:
        return hook in self._hooks

    def hands_over_pointer(self, hook: str, index: int) -> bool:
        return hook in self._hooks

    def offsets(self, wanted: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], int]:
        found = {(name, member): 8 for name, members in wanted.items() for member in members}
        if any(member not in self._members for _, member in found):
            raise LookupError("it has not")
        return found


@pytest.mark.parametrize(
    ("hooks", "members", "functions"),
    [
        ([], [*SLEEPS, *CACHE], []),
        (["sched_switch"], SLEEPS[1:], []),
        (["sched_switch"], SLEEPS, ["on_switch"]),
        (
            ["sched_switch", "contention_begin", "contention_end"],
            SLEEPS,
            ["on_switch", "on_contended", "on_uncontended"],
        ),
        (["mm_filemap_add_to_page_cache"], CACHE, ["on_cached"]),
    ],
)
def test_a_function_is_there_where_its_hook_and_its_members_are(
    hooks: list[str], members: list[str], functions: list[str]
) -> None:
    """What lacks anything is left out, and nothing else for that."""
    assert also_there(cast(Btf, Kernel(hooks, members)))[0] == functions


def test_of_several_layouts_the_first_that_is_there_counts() -> None:
    """A folio with its order, one without, a page."""
    kernel = Kernel(["mm_filemap_add_to_page_cache"], [*CACHE, "_folio_order|_flags_1"])

    assert ("folio", "_folio_order|_flags_1") in also_there(cast(Btf, kernel))[1]
    assert ("folio", "flags") in also_there(cast(Btf, Kernel(["mm_filemap_add_to_page_cache"], CACHE)))[1]


@pytest.mark.parametrize(("text", "numbers"), [("7\n", {"sys_exit": 7, "sys_enter": 7}), ("0", None), ("x", None)])
def test_numbers_stand_in_files(text: str, numbers: dict[str, int] | None, tmp_path: Path) -> None:
    """All of them, or none: 0 stands for one that nobody could read."""
    files = {hook: tmp_path / hook for hook in ("sys_exit", "sys_enter")}
    (tmp_path / "sys_exit").write_text("7")
    (tmp_path / "sys_enter").write_text(text)

    assert numbers_in(files) == numbers


@pytest.mark.parametrize("opens", [True, False])
def test_numbers_that_were_remembered_are_used_where_events_may_be_opened(
    opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gives his rights up could not read them; with perf_event_paranoid 3 he cannot use them either."""
    monkeypatch.setattr(module, "_remembered", {})
    monkeypatch.setattr(module, "_PLACES", ())
    monkeypatch.setattr(module, "_own_tracefs", lambda: None)
    monkeypatch.setattr(module, "opens_perf", lambda number: opens)
    before = event_numbers()
    remember({"sys_exit": 7})

    assert before is None
    assert event_numbers() == ({"sys_exit": 7} if opens else None)
