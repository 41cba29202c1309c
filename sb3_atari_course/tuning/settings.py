"""What a study is about: everything that its trials share, whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sb3_atari_course._common.validation import boolean, integer_at_least, probability
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.tuning.parameters import ALGORITHMS
from sb3_atari_course.tuning.sampler import SAMPLERS

#: What ``--pruner`` takes.
PRUNERS = ("median", "none")

_MISSING = object()


@dataclass(frozen=True)
class StudySettings:
    """What a study is about; the study keeps it, so that any machine can join.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: the environment.
    :param hyperparams: the yml entry in which the parameters are changed.
    :param space: parameter -> values, see :class:`~sb3_atari_course.tuning.space.Space`.
    :param n_timesteps: agent steps of a training.
    :param seed: decides parameters, trainings and games.
    :param n_repeats: trainings of a trial, each with its own seed; its score is their mean.
    :param n_evaluations: how often a training is scored, the last time at its end.
    :param n_games: whole games of a score.
    :param epsilon: probability of a random action in them, 0 to 1.
    :param max_frames: cap of a game, in emulator frames.
    :param sampler: ``"tpe"`` or ``"random"``.
    :param n_startup_trials: trials chosen at random before TPE begins.
    :param pruner: ``"median"`` ends trials that are worse than half of the others; ``"none"``.
    :param native: play in ale-py's threads, see :class:`.NativeAtariVecEnv`.
    :param gym_packages: modules to import that register environments.
    :raises ValueError: for a value out of range.
    :raises TypeError: for what is not a number, or not True or False.
    """

    algo: str
    env_id: str
    hyperparams: dict[str, Any]
    space: dict[str, Any]
    n_timesteps: int
    seed: int = 0
    n_repeats: int = 1
    n_evaluations: int = 4
    n_games: int = 20
    epsilon: float = 0.0
    max_frames: int = MAX_FRAMES
    sampler: str = "tpe"
    n_startup_trials: int = 10
    pruner: str = "median"
    native: bool = False
    gym_packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("n_timesteps", "n_repeats", "n_evaluations", "n_games", "max_frames"):
            integer_at_least(1, name, getattr(self, name))
        for name in ("seed", "n_startup_trials"):
            integer_at_least(0, name, getattr(self, name))
        probability("epsilon", self.epsilon)
        boolean("native", self.native)
        for name, known in (("algo", ALGORITHMS), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {known}, got {getattr(self, name)!r}")
        for key in ("vec_env_wrapper", "normalize"):
            if self.hyperparams.get(key):
                raise ValueError(
                    f"the yml has {key}: {self.hyperparams[key]!r}, which evaluate_games does not"
                    " know: tune without it"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudySettings:
        """Return the settings that :meth:`as_dict` made.

        :raises ValueError: if they are those of another version.
        """
        if set(content) != {field.name for field in fields(cls)}:
            raise ValueError("the study was begun by another version of sb3_atari_course")
        return cls(**{**content, "gym_packages": tuple(content["gym_packages"])})

    def check_same(self, study: str, begun: StudySettings) -> None:
        """Check that a study was begun with these settings.

        :raises ValueError: if not, with what differs.
        """
        different = [
            field.name
            for field in fields(self)
            if getattr(self, field.name) != getattr(begun, field.name)
        ]
        if not different:
            return
        first = different[0]
        if {"algo", "env_id"} & set(different):
            told = f"is of {begun.algo} on {begun.env_id}, not {self.algo} on {self.env_id}"
        elif isinstance(getattr(self, first), dict):
            mine, theirs = getattr(self, first), getattr(begun, first)
            keys = {**theirs, **mine}
            differ = [k for k in keys if mine.get(k, _MISSING) != theirs.get(k, _MISSING)]
            told = f"was begun with other {first}: {', '.join(differ)}"
        else:
            told = f"was begun with {first} {getattr(begun, first)}, not {getattr(self, first)}"
        raise ValueError(f"study {study!r} {told}: choose another --study-name")
