"""Which rows of a run pass the filter, also while it is being changed."""

from __future__ import annotations

from typing import Any

import pytest

from ior_nb.runtime import Filter
from ior_nb.session.judges import Judges
from tests.fakes import FakeEngine, batch


@pytest.mark.parametrize("filters", [True, False])
def test_rows_are_judged_at_every_moment_of_a_change(monkeypatch: pytest.MonkeyPatch, *, filters: bool) -> None:
    """However many changes there were: the thread that judges finds a judge also while the other puts one in."""

    class Changed(dict[int, Any]):
        """Judges each time anything of it has changed, as the other thread may."""

        def __setitem__(self, generation: int, judge: Any) -> None:
            super().__setitem__(generation, judge)
            judged.append(judges.judge(batch(seq=[1]))[0])

        def pop(self, *asked: Any) -> Any:
            found = super().pop(*asked)
            judged.append(judges.judge(batch(seq=[1]))[0])
            return found

    judged: list[Any] = []
    engine = FakeEngine()
    monkeypatch.setattr(type(engine), "filters", filters, raising=False)
    judges = Judges(engine, Filter(), 1)
    judges._judges = Changed(judges._judges)
    for epoch in range(2, 300):
        judges.prepare(Filter(), epoch)
        judges.use(Filter(), epoch)

    assert len(judged) == 2 * 298
