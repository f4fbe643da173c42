"""What a task has from its maker and changes itself."""

from __future__ import annotations

import numpy as np

from ior_nb.engine.stopped.inherited import Courses, Step


def test_a_task_begins_with_what_its_maker_had_when_it_made_it() -> None:
    """What the maker changes before counts for it, what it changes later does not, and its own comes on top."""
    steps = [Step(1, 1, lambda _: "b"), Step(1, 4, lambda _: "c"), Step(2, 5, lambda old: old + "!")]
    courses = Courses({1: "a"}.__getitem__, {2: (1, 2)}, steps)
    found = courses.rows(np.array([1, 1, 1, 2, 1, 2]), str, object)

    assert found.tolist() == ["a", "b", "b", "b", "c", "b!"]
    assert courses.at_end() == {1: "c", 2: "b!"}


def test_a_child_may_change_before_its_makers_call_returns() -> None:
    """A vfork ends after the child has executed a program: the rows of the child before and after differ."""
    courses = Courses({1: "sh"}.__getitem__, {2: (1, 3)}, [Step(2, 1, lambda _: "true")])

    assert courses.rows(np.array([2, 2, 2, 1]), str, object).tolist() == ["sh", "true", "true", "sh"]


def test_a_long_line_of_makers_is_followed() -> None:
    """Thousands of tasks, each made by the one before, in one block."""
    courses = Courses(lambda task: task, {task: (task - 1, 0) for task in range(2, 3000)}, [])

    assert courses.rows(np.array([2999]), int, np.uint32).tolist() == [1]
