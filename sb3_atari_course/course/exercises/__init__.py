"""The exercises of the course."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb3_atari_course.course.exercises.judging import Exercise

#: exercise -> the lesson that poses it, in the order of the course
EXERCISES = {
    "q_learning": "lesson1_taxi",
    "dqn_update": "lesson2_cartpole",
    "dqn_training": "lesson2_cartpole",
    "build_cnn": "lesson4_breakout",
    "atari_training": "lesson4_breakout",
    "own_env": "lesson7_another_world",
    "reinforce": "lesson8_policy_gradient",
}

#: exercise -> its module, if that has another name
_MODULES = {
    "q_learning": "taxi",
    "dqn_training": "training_loops",
    "atari_training": "training_loops",
}


def check_name(exercise: str) -> None:
    """Refuse the name of an exercise that does not exist.

    :raises ValueError: with the nearest name.
    """
    if exercise not in EXERCISES:
        near = difflib.get_close_matches(exercise, EXERCISES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(EXERCISES)}"
        raise ValueError(f"unknown exercise {exercise!r}: {hint}")


def module_of(exercise: str) -> str:
    """Return the name of the module that has an exercise."""
    return f"{__name__}.{_MODULES.get(exercise, exercise)}"


def load_exercise(name: str) -> Exercise:
    """Return an exercise; its module is imported here, since most of them need torch.

    :raises ValueError: for an unknown name.
    """
    check_name(name)
    exercise: Exercise = getattr(import_module(module_of(name)), name.upper())
    return exercise
