"""A study of Optuna with our settings in it, and its budget, kept to the trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course.tuning.sampler import SamplerByNumber
from sb3_atari_course.tuning.settings import StudySettings
from sb3_atari_course.tuning.space import Space

#: Where a study keeps :class:`StudySettings` and its budget.
SETTINGS, BUDGET = "settings", "n_trials"

#: Where a trial keeps the machine and process that ran it, and why it failed.
WORKER, ERROR, SURPLUS = "worker", "error", "surplus"

_NOT_OURS = "study {!r} was not begun by `tune`: choose another --study-name"

#: Seconds to wait for the settings of a study that somebody else is just beginning.
_BEGINNING = 10.0


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
        _wait_for_settings(study)
    if study.directions != [StudyDirection.MAXIMIZE]:
        raise ValueError(_NOT_OURS.format(name))
    attrs = study.user_attrs
    if SETTINGS in attrs:
        settings.check_same(name, settings_of(study))
    budget = attrs.get(BUDGET, 0)
    wanted = n_trials or budget or default
    if wanted < budget:
        raise ValueError(f"study {name!r} has {budget} trials to do, fewer is not possible")
    if wanted > budget:
        study.set_user_attr(BUDGET, wanted)
    if SETTINGS not in attrs:  # last: who finds them finds the budget too
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
        settings.sampler,
        seed=settings.seed,
        n_startup_trials=settings.n_startup_trials,
        start=Space(settings.algo, settings.space).start(settings.hyperparams),
    )
    study.pruner = _make_pruner(settings)
    return study


def settings_of(study: Study) -> StudySettings:
    """Return what a study is about."""
    return StudySettings.from_dict(study.user_attrs[SETTINGS])


def _wait_for_settings(study: Study) -> None:
    """Wait for the one who is beginning this study, but not for ever: he may be dead."""
    deadline = time.monotonic() + _BEGINNING
    while set(study.user_attrs) <= {BUDGET} and not study.get_trials(deepcopy=False):
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)
    if SETTINGS not in study.user_attrs:
        raise ValueError(_NOT_OURS.format(study.study_name))


def _make_pruner(settings: StudySettings) -> BasePruner:
    if settings.pruner == "none":
        return NopPruner()
    warmup = settings.n_timesteps // 4
    return MedianPruner(n_startup_trials=5, n_warmup_steps=warmup, n_min_trials=3)


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
