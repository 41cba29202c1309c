"""A study of Optuna: its settings, its budget (kept to the trial), its sampler and its standing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course._common.validation import boolean, integer_at_least, probability
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.hyperparams import ALGORITHMS
from sb3_atari_course.tuning import PRUNERS, SAMPLERS
from sb3_atari_course.tuning.space import Space

#: Where a study keeps :class:`StudySettings` and its budget.
SETTINGS, BUDGET = "settings", "n_trials"

#: Where a trial keeps the machine and process that ran it, and why it failed.
WORKER, ERROR, SURPLUS = "worker", "error", "surplus"

_NOT_OURS = "study {!r} was not begun by `tune`: choose another --study-name"

#: What a seed is for: equal numbers for two purposes would tie them together.
SAMPLING, TRAINING, GAMES = 0, 1, 2

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
        for name, mine in vars(self).items():
            theirs = getattr(begun, name)
            if mine == theirs:
                continue
            differ = f"{name} {theirs}, not {mine}"
            if isinstance(mine, dict):
                both = {**theirs, **mine}
                keys = [k for k in both if mine.get(k, _MISSING) != theirs.get(k, _MISSING)]
                differ = f"other {name}: {', '.join(keys)}"
            raise ValueError(
                f"study {study!r} was begun with {differ}: choose another --study-name"
            )


def seed_for(purpose: int, study_seed: int, number: int = 0, repeat: int = 0) -> int:
    """Return a seed, 0 to 2**31 - 1.

    :param purpose: :data:`SAMPLING`, :data:`TRAINING` or :data:`GAMES`.
    :param study_seed: at least 0.
    :param number: of the trial; 0 for what all trials share.
    :param repeat: of a trial that trains several times.
    """
    return int(
        np.random.SeedSequence([purpose, study_seed, number, repeat]).generate_state(1)[0] >> 1
    )


class SamplerByNumber(TPESampler):
    """TPE, or random samples, from a generator that the trial's number seeds.

    So the same seed gives one worker the same trials again, and two workers never draw the same
    numbers. The first trial takes what the yml says, as far as the space holds it.

    :param seed: of the study.
    :param n_startup_trials: trials chosen at random before TPE begins.
    :param start: the parameters of the first trial, as Optuna stores them; others are sampled.
    """

    def __init__(self, *, seed: int, n_startup_trials: int, start: Mapping[str, Any]) -> None:
        super().__init__(n_startup_trials=n_startup_trials, multivariate=True)
        self._seed, self._startup, self._start = seed, n_startup_trials, start

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the generator: TPE takes a seed only when it is made, so it is made again."""
        seed = seed_for(SAMPLING, self._seed, trial.number)
        super().__init__(seed=seed, n_startup_trials=self._startup, multivariate=True)
        super().before_trial(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Sample one parameter; the first trial's is that of the yml."""
        if trial.number == 0 and name in self._start:
            return self._start[name]
        return super().sample_independent(study, trial, name, distribution)


def begin_or_join(
    storage: BaseStorage, name: str, settings: StudySettings, n_trials: int | None, default: int
) -> Study:
    """Begin a study, or join it if it is there.

    :param n_trials: trials in all; more than the study has extend it; None for what it has.
    :param default: for a new study, if ``n_trials`` is None.
    :raises ValueError: if the study was begun with other settings, or has a larger budget.
    """
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
    attrs = study.user_attrs
    if SETTINGS in attrs:
        settings.check_same(name, settings_of(study))
    else:
        is_fresh = attrs.keys() <= {BUDGET} and not study.get_trials(deepcopy=False)
        if not is_fresh or study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError(_NOT_OURS.format(name))
    budget = attrs.get(BUDGET, 0)
    wanted = n_trials or budget or default
    if wanted < budget:
        raise ValueError(f"study {name!r} has {budget} trials to do, fewer is not possible")
    if wanted > budget:
        study.set_user_attr(BUDGET, wanted)
    if SETTINGS not in attrs:  # last: who finds them finds the budget too; two may write the same
        study.set_user_attr(SETTINGS, settings.as_dict())
    return equip(study)


def find_study(storage: BaseStorage, name: str) -> Study:
    """Return a study that somebody began.

    :raises ValueError: if there is none of that name, or none of ours.
    """
    try:
        study = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        names = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise ValueError(f"there is no study {name!r} here, but {names}") from None
    if SETTINGS not in study.user_attrs:
        raise ValueError(_NOT_OURS.format(name))
    return equip(study)


def equip(study: Study) -> Study:
    """Give a study the sampler and the pruner of its settings."""
    settings = settings_of(study)
    study.sampler = SamplerByNumber(
        seed=settings.seed,
        n_startup_trials=sys.maxsize if settings.sampler == "random" else settings.n_startup_trials,
        start=Space(settings.algo, settings.space).start(settings.hyperparams),
    )
    study.pruner = NopPruner()
    if settings.pruner == "median":
        warmup = settings.n_timesteps // 4
        study.pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=warmup, n_min_trials=3)
    return study


def settings_of(study: Study) -> StudySettings:
    """Return what a study is about."""
    return StudySettings.from_dict(study.user_attrs[SETTINGS])


@dataclass(frozen=True)
class Standing:
    """How many trials a study has in which state.

    :param budget: how many are to be finished.
    :param complete: trained to the end.
    :param pruned: ended early; both count as finished.
    :param running: at work.
    :param waiting: to be tried again, after their worker died.
    :param errors: number of each trial that failed by an error of its own, and the error.
    :param n_died: failed because their worker died or was stopped.
    :param best: the best complete trial.
    :param mean_seconds: of a finished trial, None without one.
    """

    budget: int
    complete: int
    pruned: int
    running: int
    waiting: int
    errors: tuple[tuple[int, str], ...]
    n_died: int
    best: FrozenTrial | None
    mean_seconds: float | None

    @property
    def finished(self) -> int:
        """Trials that count for the budget."""
        return self.complete + self.pruned

    @property
    def is_done(self) -> bool:
        """Whether the budget is spent and nothing is left over."""
        return self.finished >= self.budget and not self.running and not self.waiting

    @property
    def has_room(self) -> bool:
        """Whether another trial may begin, or one that waits must be looked at."""
        return self.waiting > 0 or self.finished + self.running < self.budget


def standing_of(study: Study) -> Standing:
    """Count the trials of a study."""
    trials = study.get_trials(deepcopy=False)
    by_state = {state: [trial for trial in trials if trial.state == state] for state in TrialState}
    complete, failed = by_state[TrialState.COMPLETE], by_state[TrialState.FAIL]
    seconds = [
        trial.duration.total_seconds()
        for trial in (*complete, *by_state[TrialState.PRUNED])
        if trial.duration is not None
    ]
    errors = tuple((one.number, one.user_attrs[ERROR]) for one in failed if ERROR in one.user_attrs)
    n_surplus = sum(SURPLUS in one.user_attrs for one in failed)
    return Standing(
        budget=study.user_attrs[BUDGET],
        complete=len(complete),
        pruned=len(by_state[TrialState.PRUNED]),
        running=len(by_state[TrialState.RUNNING]),
        waiting=len(by_state[TrialState.WAITING]),
        errors=errors,
        n_died=len(failed) - len(errors) - n_surplus,
        best=max(complete, key=lambda trial: trial.values[0], default=None),
        mean_seconds=sum(seconds) / len(seconds) if seconds else None,
    )


def is_surplus(number: int, trials: Sequence[FrozenTrial], budget: int) -> bool:
    """Tell whether a trial comes after enough others.

    It does if ``budget`` trials of smaller number have not failed. Trials may fail later but never
    begin to count again, so a trial that is no surplus now never becomes one: whatever dies and
    whoever asks at once, no more than ``budget`` trials finish.
    """
    rank = sum(one.number < number and one.state != TrialState.FAIL for one in trials)
    return rank >= budget
