"""Optuna studies: settings, exact budget of trials, sampler, seeds and status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.tuning.space import Space

#: User attributes of a study: :class:`StudySettings`, and the number of trials.
SETTINGS, BUDGET = "settings", "n_trials"

#: User attributes of a trial: host and process id, its exception, and whether it was surplus.
WORKER, ERROR, SURPLUS = "worker", "error", "surplus"

_NOT_OURS = "study {!r} was not created by `tune`: choose another --study-name"

#: Purposes of seeds: each has a separate random generator.
SAMPLING, TRAINING, GAMES = 0, 1, 2

_MISSING = object()


@dataclass(frozen=True)
class StudySettings:
    """Settings of a study, stored in it so that any machine can join.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param hyperparams: the yml entry whose values are tuned.
    :param space: parameter -> values, see :class:`~sb3_atari_course.tuning.space.Space`.
    :param n_timesteps: agent steps per training run.
    :param seed: of sampled parameters, training runs and evaluation games.
    :param n_repeats: training runs per trial, each with another seed; the score is their mean.
    :param n_evaluations: evaluations per training run, the last one at its end.
    :param n_games: full games per evaluation.
    :param epsilon: probability of a random action during evaluation, 0 to 1.
    :param max_frames: maximum length of a game, in emulator frames.
    :param sampler: ``"tpe"`` or ``"random"``.
    :param n_startup_trials: randomly sampled trials before TPE starts.
    :param pruner: ``"median"`` stops trials that are worse than half of the others; ``"none"``.
    :param native: train on ale-py's vectorized environment, see :class:`.NativeAtariVecEnv`.
    :param gym_packages: modules to import that register environments.
    :raises ValueError: for a yml with ``normalize`` or ``vec_env_wrapper``.
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
        for key in ("vec_env_wrapper", "normalize"):
            if self.hyperparams.get(key):
                raise ValueError(
                    f"the yml has {key}: {self.hyperparams[key]!r}, which evaluate_games does not"
                    " support: tune without it"
                )

    def check_same(self, study: str, stored: StudySettings) -> None:
        """Check that an existing study has these settings.

        :param study: name of the study.
        :param stored: the settings stored in it.
        :raises ValueError: if they differ, naming the first difference.
        """
        for name, mine in vars(self).items():
            theirs = getattr(stored, name)
            if mine == theirs:
                continue
            differ = f"{name}={theirs}, not {mine}"
            if isinstance(mine, dict):
                both = {**theirs, **mine}
                keys = [k for k in both if mine.get(k, _MISSING) != theirs.get(k, _MISSING)]
                differ = f"different {name}: {', '.join(keys)}"
            raise ValueError(
                f"study {study!r} was created with {differ}: choose another --study-name"
            )


def seed_for(purpose: int, study_seed: int, number: int = 0, repeat: int = 0) -> int:
    """Return a seed, 0 to 2**31 - 1.

    :param purpose: :data:`SAMPLING`, :data:`TRAINING` or :data:`GAMES`.
    :param study_seed: at least 0.
    :param number: of the trial; 0 for a seed that all trials share.
    :param repeat: index of the training run within the trial.
    """
    return int(
        np.random.SeedSequence([purpose, study_seed, number, repeat]).generate_state(1)[0] >> 1
    )


class SamplerByNumber(TPESampler):
    """TPE sampler that is seeded by the study's seed and the trial's number.

    With one worker, the same seed gives the same trials, also after a restart; several workers
    never use the same random numbers.

    :param seed: of the study.
    :param n_startup_trials: randomly sampled trials before TPE starts.
    """

    def __init__(self, *, seed: int, n_startup_trials: int) -> None:
        super().__init__(n_startup_trials=n_startup_trials, multivariate=True)
        self._seed, self._startup = seed, n_startup_trials

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the sampler: TPE takes a seed only in its constructor, so call that again."""
        seed = seed_for(SAMPLING, self._seed, trial.number)
        super().__init__(seed=seed, n_startup_trials=self._startup, multivariate=True)
        super().before_trial(study, trial)


def create_or_join(
    storage: BaseStorage, name: str, settings: StudySettings, n_trials: int | None, default: int
) -> Study:
    """Create a study, or join an existing one.

    :param storage: see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param name: of the study.
    :param settings: of the study.
    :param n_trials: total number of trials; a larger one extends an existing study; None keeps it.
    :param default: of a new study, if ``n_trials`` is None.
    :raises ValueError: if the study has other settings, or a larger budget.
    """
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        # the first trial is the yml itself; only the creator of the study enqueues it, hence once
        space = Space(settings.algo, settings.space)
        study.enqueue_trial(space.start(settings.hyperparams))
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name)
    attrs = study.user_attrs
    if SETTINGS in attrs:
        settings.check_same(name, settings_of(study))
    else:
        trials = study.get_trials(deepcopy=False)
        is_queue = all(trial.state == TrialState.WAITING for trial in trials)
        is_fresh = attrs.keys() <= {BUDGET} and is_queue
        if not is_fresh or study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError(_NOT_OURS.format(name))
    budget = attrs.get(BUDGET, 0)
    wanted = n_trials or budget or default
    if wanted < budget:
        raise ValueError(
            f"study {name!r} has a budget of {budget} trials, which cannot be reduced to {wanted}"
        )
    if wanted > budget:
        study.set_user_attr(BUDGET, wanted)
    if SETTINGS not in attrs:  # written last, so that the budget exists if the settings do
        study.set_user_attr(SETTINGS, asdict(settings))
    return configure(study)


def find_study(storage: BaseStorage, name: str) -> Study:
    """Load an existing study.

    :raises ValueError: if there is none of that name, or if it was not created by ``tune``.
    """
    try:
        study = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        names = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise ValueError(
            f"study {name!r} not found in this storage, which contains: {names}"
        ) from None
    if SETTINGS not in study.user_attrs:
        raise ValueError(_NOT_OURS.format(name))
    return configure(study)


def configure(study: Study) -> Study:
    """Set the sampler and the pruner of a study according to its settings."""
    settings = settings_of(study)
    study.sampler = SamplerByNumber(
        seed=settings.seed,
        n_startup_trials=sys.maxsize if settings.sampler == "random" else settings.n_startup_trials,
    )
    study.pruner = NopPruner()
    if settings.pruner == "median":
        warmup = settings.n_timesteps // 4
        study.pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=warmup, n_min_trials=3)
    return study


def settings_of(study: Study) -> StudySettings:
    """Return the settings stored in a study.

    :raises ValueError: if a version of this package with other settings created it.
    """
    content = study.user_attrs[SETTINGS]
    if set(content) != {field.name for field in fields(StudySettings)}:
        raise ValueError(
            "the study was created by another version of sb3_atari_course: choose another"
            " --study-name"
        )
    return StudySettings(**{**content, "gym_packages": tuple(content["gym_packages"])})


@dataclass(frozen=True)
class StudyStatus:
    """Status of a study: the number of trials in each state.

    :param budget: trials to be finished.
    :param complete: trials trained to the end.
    :param pruned: trials stopped early; they count as finished too.
    :param running: trials in progress.
    :param waiting: enqueued trials: the first one, and retries after a worker died.
    :param errors: number and exception of each trial that failed with an exception.
    :param n_died: trials that failed because their worker died or was stopped.
    :param best: the best complete trial.
    :param mean_seconds: mean duration of a finished trial, None without one.
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
        """Number of trials that count towards the budget."""
        return self.complete + self.pruned

    @property
    def is_done(self) -> bool:
        """Whether the budget is spent and no trial is running or waiting."""
        return self.finished >= self.budget and not self.running and not self.waiting

    @property
    def has_room(self) -> bool:
        """Whether another trial may start, or an enqueued one must be handled."""
        return self.waiting > 0 or self.finished + self.running < self.budget


def status_of(study: Study) -> StudyStatus:
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
    return StudyStatus(
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
    """Return whether a trial exceeds the budget.

    It does if at least ``budget`` trials with smaller numbers have not failed. That count can only
    decrease, so a trial within the budget stays within it. Hence at most ``budget`` trials finish,
    whichever workers die and however many ask at the same time.

    :param number: of the trial.
    :param trials: all trials of the study.
    :param budget: trials to be finished.
    """
    rank = sum(one.number < number and one.state != TrialState.FAIL for one in trials)
    return rank >= budget
