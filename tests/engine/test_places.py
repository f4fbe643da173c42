"""Places of ids in dense arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.places import Places

IDS = st.lists(
    st.one_of(st.integers(1, 3_000), st.integers((1 << 19) - 9, (1 << 19) + 9), st.integers(1, (1 << 32) - 1)),
    max_size=40,
)


@given(IDS, IDS, IDS)
def test_places_are_those_of_a_dictionary(first: list[int], second: list[int], kept: list[int]) -> None:
    """Each id has a place of its own, unknown ones have 0, and forgetting some moves the others to the front."""
    places = Places()
    model: dict[int, int] = {}
    for ids in (first, second):
        found = places.give(np.array(ids, np.uint32))
        for number in sorted(set(ids) - model.keys()):
            model[number] = len(model) + 1
        assert found.tolist() == [model[number] for number in ids]
    stay = sorted({0, *(model[number] for number in kept if number in model)})
    places.keep(np.array(stay))

    assert places.used == len(stay)
    asked = np.array([*first, *second, *kept, 0], np.uint32)
    expected = [stay.index(model[n]) if n in model and model[n] in stay else 0 for n in asked.tolist()]
    assert places.find(asked).tolist() == expected
