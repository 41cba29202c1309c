"""The same seed gives the same trials, and two workers never draw the same numbers."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna import Trial
from optuna.storages import InMemoryStorage

from sb3_atari_course.tuning.sampler import SamplerByNumber
from sb3_atari_course.tuning.seeds import GAMES, SAMPLING, TRAINING, seed_for


def sampler(kind: str = "tpe", seed: int = 0, **start: Any) -> SamplerByNumber:
    return SamplerByNumber(kind, seed=seed, n_startup_trials=4, start=start)


def objective(trial: Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return x + (kind == "b")


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_equal_seeds_give_equal_trials_and_others_others(kind: str) -> None:
    found = []
    for seed in (0, 0, 1):
        study = optuna.create_study(sampler=sampler(kind, seed), direction="maximize")
        study.optimize(objective, n_trials=12)
        found.append(params(study))
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not() -> None:
    whole = optuna.create_study(sampler=sampler(), direction="maximize")
    whole.optimize(objective, n_trials=12)
    storage = InMemoryStorage()
    for _ in range(2):
        half = optuna.create_study(
            storage=storage,
            study_name="half",
            load_if_exists=True,
            sampler=sampler(),
            direction="maximize",
        )
        half.optimize(objective, n_trials=6)
    assert params(half) == params(whole)


def test_two_workers_never_begin_with_the_same_trials() -> None:
    storage = InMemoryStorage()
    workers = [
        optuna.create_study(
            storage=storage, study_name="two", load_if_exists=True, sampler=sampler()
        )
        for _ in range(2)
    ]
    asked = [workers[i % 2].ask() for i in range(10)]
    values = [trial.suggest_float("x", 0.0, 1.0) for trial in asked]
    assert len(set(values)) == 10


def test_the_first_trial_takes_what_it_is_told() -> None:
    study = optuna.create_study(sampler=sampler(x=0.25, kind="c"))
    study.optimize(objective, n_trials=2)
    assert study.trials[0].params == {"x": 0.25, "kind": "c"}
    assert study.trials[1].params["x"] != 0.25


def test_random_trials_come_before_tpe_as_many_as_told() -> None:
    """With as many startup trials as trials, TPE is never asked."""
    random_only = optuna.create_study(sampler=sampler("random"), direction="maximize")
    random_only.optimize(objective, n_trials=20)
    for n_startup_trials, is_random in ((20, True), (4, False)):
        late = SamplerByNumber("tpe", seed=0, n_startup_trials=n_startup_trials, start={})
        study = optuna.create_study(sampler=late, direction="maximize")
        study.optimize(objective, n_trials=20)
        assert (params(study) == params(random_only)) is is_random


def test_tpe_learns_where_it_is_good() -> None:
    study = optuna.create_study(sampler=sampler(), direction="maximize")
    study.optimize(objective, n_trials=60)
    late = [trial.value for trial in study.trials[40:]]
    early = [trial.value for trial in study.trials[:5]]
    assert sum(late) / len(late) > sum(early) / len(early) + 0.3


def test_seeds_differ_by_purpose_study_and_number() -> None:
    seeds = {
        seed_for(purpose, study_seed, number, repeat)
        for purpose in (SAMPLING, TRAINING, GAMES)
        for study_seed in range(10)
        for number in range(50)
        for repeat in range(2)
    }
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**31 for seed in seeds)
