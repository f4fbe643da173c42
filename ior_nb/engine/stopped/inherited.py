"""What a task has from its maker and changes itself, its name or its directories, row by row of a block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np

__all__ = ["Courses", "Step"]

T = TypeVar("T")
_LAST: Final = 1 << 62


class Step(NamedTuple, Generic[T]):
    """Something that a task changes of what it has."""

    task: int
    row: int
    """The first row it is true of."""
    change: Callable[[T], T]
    """What it has then, of what it had."""


class Courses(Generic[T]):
    """What the tasks of a block have.

    Args:
        known: what a task has when the block begins, or was found to have when it was met.
        born: new task -> who made it, and the row up to which that counts.
        steps: what they change.
    """

    def __init__(
        self, known: Callable[[int], T], born: Mapping[int, tuple[int, int]], steps: Iterable[Step[T]]
    ) -> None:
        self._known, self._born = known, born
        self._steps: dict[int, list[Step[T]]] = {}
        for step in sorted(steps, key=lambda step: step.row):
            self._steps.setdefault(step.task, []).append(step)
        self._found: dict[int, list[tuple[int, T]]] = {}

    def at(self, task: int, row: int) -> T:
        """Return what a task has at a row."""
        course = self._of(task)
        return course[bisect_right(course, row, key=lambda place: place[0]) - 1][1]

    def at_end(self) -> dict[int, T]:
        """Return what those have after the block that are new or have changed it."""
        return {task: self.at(task, _LAST) for task in (*self._born, *self._steps)}

    def rows(self, tasks: np.ndarray, word: Callable[[T], Any], dtype: Any) -> np.ndarray:
        """Return what the task of each row has there, by a word for each."""
        unique, places = np.unique(tasks, return_inverse=True)
        courses = list(map(self._of, unique.tolist()))
        first = np.array([*(word(course[0][1]) for course in courses), None][:-1], dtype)
        found: np.ndarray = first[places]
        for k, course in enumerate(courses):
            if len(course) > 1:
                rows = np.flatnonzero(places == k)
                for row, value in course[1:]:
                    found[rows[rows >= row]] = word(value)
        return found

    def _of(self, task: int) -> list[tuple[int, T]]:
        makers: dict[int, None] = {}  # a long line of forks is no deep recursion
        maker = task
        while maker not in self._found and maker not in makers:
            makers[maker] = None
            maker = self._born.get(maker, (maker, 0))[0]
        for new in reversed(makers):
            by, row = self._born.get(new, (new, 0))
            course = [(0, self.at(by, row) if by in self._found else self._known(new))]
            for step in self._steps.get(new, ()):
                course.append((step.row, step.change(course[-1][1])))
            self._found[new] = course
        return self._found[task]
