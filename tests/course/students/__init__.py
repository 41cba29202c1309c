"""What students hand in, by exercise: solutions with one mistake, right ones in other styles."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from sb3_atari_course.course.exercises import EXERCISES
from tests.course.lessons import solution_of


class Mistake(NamedTuple):
    """A solution with one mistake.

    :param exercise: which.
    :param found_by: the property that must find it.
    :param right: what stands in the lesson's solution, once; empty: ``wrong`` follows the solution.
    :param wrong: what stands there instead.
    :param words: part of the message.
    """

    exercise: str
    found_by: str
    right: str
    wrong: str
    words: str

    def text(self) -> str:
        """Return the lesson with the mistake in it."""
        solution = solution_of(self.exercise)
        if not self.right:
            return solution + self.wrong
        assert solution.count(self.right) == 1, f"the solution has changed: {self.right}"
        return solution.replace(self.right, self.wrong)


_MODULES = {exercise: import_module(f"{__name__}.{exercise}") for exercise in EXERCISES}

MISTAKES = [
    Mistake(exercise, property_, *mistake)
    for exercise, module in _MODULES.items()
    for property_, mistakes in module.MISTAKES.items()
    for mistake in mistakes
]

#: (exercise, name of the style, definitions that follow the lesson's solution)
STYLES = [
    (exercise, name, text)
    for exercise, module in _MODULES.items()
    for name, text in module.STYLES.items()
]
