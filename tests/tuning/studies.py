"""Helpers: small studies of Q-learning on FrozenLake, and an objective without training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.storages import BaseStorage, InMemoryStorage

from sb3_atari_course.tuning.study import (
    BUDGET,
    SURPLUS,
    WORKER,
    StudySettings,
    create_or_join,
    is_surplus,
)

ICE = "FrozenLake-v1"

#: A yml entry that trains within a second.
TABLE: dict[str, Any] = {
    "policy": "QTablePolicy",
    "env_kwargs": {"is_slippery": False},
    "n_timesteps": 1000,
    "learning_rate": 0.5,
    "gamma": 0.99,
    "exploration": 0.5,
}
SPACE: dict[str, Any] = {
    "learning_rate": {"low": 0.1, "high": 1.0},
    "gamma": [0.9, 0.99],
    "initial_value": 0.0,
}


def settings(**changes: Any) -> StudySettings:
    """Return the settings of a study of Q-learning on FrozenLake."""
    given: dict[str, Any] = {
        "algo": "q_learning",
        "env_id": ICE,
        "hyperparams": TABLE,
        "space": SPACE,
        "n_timesteps": 1000,
        "n_games": 5,
        "n_evaluations": 2,
        "n_startup_trials": 3,
    }
    return StudySettings(**{**given, **changes})


def make_study(
    storage: BaseStorage | None = None, n_trials: int = 4, name: str = "ice", **changes: Any
) -> Study:
    """Create a study, by default with an in-memory storage."""
    return create_or_join(storage or InMemoryStorage(), name, settings(**changes), n_trials, 1)


class Quick:
    """Objective without training: the score is a function of the parameter x.

    :param play: called during each trial.
    """

    def __init__(self, play: Callable[[Trial], None] = lambda trial: None) -> None:
        self.play = play

    def __call__(self, trial: Trial) -> float:
        """Return minus the distance from x to 1."""
        study = trial.study
        if is_surplus(trial.number, study.get_trials(deepcopy=False), study.user_attrs[BUDGET]):
            trial.set_user_attr(SURPLUS, True)
            raise RuntimeError("trial exceeds the budget")
        trial.set_user_attr(WORKER, ["here", os.getpid()])
        x = trial.suggest_float("x", 0.0, 2.0)
        self.play(trial)
        return -abs(x - 1)


def states(study: Study) -> list[str]:
    """Return the states of all trials, in order."""
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def quiet() -> None:
    """Disable Optuna's log."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def add_line(path: Path, text: str) -> None:
    """Append to a file."""
    with open(path, "a") as file:
        file.write(text)
