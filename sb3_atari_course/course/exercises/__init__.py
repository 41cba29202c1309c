"""The exercises of the course, in its order."""

from __future__ import annotations

import difflib

from sb3_atari_course.course.exercises.atari_training import ATARI_TRAINING
from sb3_atari_course.course.exercises.base import Exercise
from sb3_atari_course.course.exercises.build_cnn import BUILD_CNN
from sb3_atari_course.course.exercises.dqn_training import DQN_TRAINING
from sb3_atari_course.course.exercises.dqn_update import DQN_UPDATE
from sb3_atari_course.course.exercises.own_env import OWN_ENV
from sb3_atari_course.course.exercises.q_learning import Q_LEARNING

#: name -> exercise
EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Q_LEARNING,
        DQN_UPDATE,
        DQN_TRAINING,
        BUILD_CNN,
        ATARI_TRAINING,
        OWN_ENV,
    )
}


def find_exercise(name: str) -> Exercise:
    """Return an exercise.

    :raises ValueError: for an unknown name, with the nearest one.
    """
    if name not in EXERCISES:
        near = difflib.get_close_matches(name, EXERCISES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(EXERCISES)}"
        raise ValueError(f"unknown exercise {name!r}: {hint}")
    return EXERCISES[name]
