"""Numbers of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from ior_nb.aggregate import groups
from ior_nb.aggregate.groups import Pairs


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
