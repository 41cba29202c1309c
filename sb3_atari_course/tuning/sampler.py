"""Which values a trial gets: Optuna's samplers, seeded anew for every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course.tuning.seeds import SAMPLING, seed_for

#: What ``--sampler`` takes.
SAMPLERS = ("tpe", "random")


class SamplerByNumber(BaseSampler):
    """Samples as TPE does, or at random, from a generator that the trial's number seeds.

    So the same seed gives one worker the same trials again, and two workers never draw the same
    numbers. The first trial takes what the yml says, as far as the space holds it.

    :param kind: ``"tpe"`` or ``"random"``.
    :param seed: of the study.
    :param n_startup_trials: trials chosen at random before TPE begins.
    :param start: the parameters of the first trial, as Optuna stores them; others are sampled.
    """

    def __init__(
        self, kind: str, *, seed: int, n_startup_trials: int, start: Mapping[str, Any]
    ) -> None:
        self._kind, self._seed, self._start = kind, seed, start
        self._n_startup_trials = n_startup_trials
        self._sampler: BaseSampler = RandomSampler()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the sampler of this trial."""
        seed = seed_for(SAMPLING, self._seed, trial.number)
        if self._kind == "random" or trial.number == 0:
            self._sampler = RandomSampler(seed=seed)
        else:
            self._sampler = TPESampler(
                seed=seed, n_startup_trials=self._n_startup_trials, multivariate=True
            )
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are sampled together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample them."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter; the first trial's is that of the yml."""
        if trial.number == 0 and param_name in self._start:
            return self._start[param_name]
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler how the trial ended."""
        self._sampler.after_trial(study, trial, state, values)
