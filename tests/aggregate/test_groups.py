"""Numbers of pairs, and groups of rows."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.aggregate import groups
from ior_nb.aggregate.groups import Groups, Pairs
from ior_nb.runtime import new_tables
from tests.fakes import batch


@pytest.mark.parametrize("most", [0, 1024, 1 << 20], ids=["never a table", "a table at first", "a table"])
@pytest.mark.parametrize("low", [0, -3])
def test_equal_pairs_have_one_number_wherever_it_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, most: int, low: int
) -> None:
    """With a table, without, and where it became too large on the way: numbers are dense, and the same again."""
    monkeypatch.setattr(groups, "_MOST_PLACES", most)
    random = np.random.default_rng(2)
    numbered = Pairs()
    known: dict[tuple[int, int], int] = {}
    for high in (3, 9, 40, 40, 300):
        one, two = random.integers(0, high, 50), random.integers(low, high, 50).astype(np.int32)
        numbers, first = numbered.of(one, two)
        for row, number in enumerate(numbers.tolist()):
            assert known.setdefault((one[row], two[row]), number) == number
        assert numbers[first].tolist() == list(range(len(numbered) - len(first), len(numbered)))

    assert sorted(known.values()) == list(range(len(numbered)))


@pytest.mark.parametrize("most", [0, 64, 1 << 20], ids=["never a table", "a table at first", "a table"])
def test_rows_of_equal_values_are_one_group_whatever_string_tables_they_come_with(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Rows of one table, then of another whose codes are others, a column of one value among them."""
    monkeypatch.setattr(groups, "_MOST_PLACES", most)
    random = np.random.default_rng(3)
    found, known = Groups("comm", "file", "pid"), dict[tuple[str, str, int], int]()
    for tables in (given := new_tables(), given, new_tables()):
        for comms in (["sh"], ["sh", "cat", ""]):
            values = [
                (str(random.choice(comms)), f"/f{random.integers(40)}", int(random.integers(3))) for _ in range(60)
            ]
            rows = batch(tables, comm=[c for c, _, _ in values], file=[f for _, f, _ in values], pid=[1] * 60)
            if len(comms) == 1:
                rows = rows.with_columns(comm=np.broadcast_to(rows["comm"][0], 60))
            rows = rows.with_columns(pid=np.array([pid for *_, pid in values], np.int32))
            for key, number in zip(values, found.of(rows).tolist(), strict=True):
                assert known.setdefault(key, number) == number

    keys = found.keys()
    in_order = zip(*(keys[name].tolist() for name in ("comm", "file", "pid")), strict=True)
    assert {key: number for number, key in enumerate(in_order)} == known
