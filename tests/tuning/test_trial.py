"""Trials: sampled yml, training by RL Zoo, evaluation, reproducible scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.tuning import trial as module
from sb3_atari_course.tuning.study import ERROR, SURPLUS, settings_of
from sb3_atari_course.tuning.trial import Objective
from sb3_atari_course.tuning.workers import prepare, work
from tests.tuning.studies import TABLE, make_study, states

CARTPOLE: dict[str, Any] = {
    "algo": "dqn",
    "env_id": "CartPole-v1",
    "hyperparams": load_hyperparams("dqn")["CartPole-v1"],
    "space": {
        "learning_rate": {"low": 0.001, "high": 0.01},
        "learning_starts": 100,
        "train_freq": 16,
        "updates_per_step": 0.25,
    },
    "n_timesteps": 300,
}


@pytest.fixture(autouse=True, scope="module")
def _algorithms() -> None:
    prepare(native=False)


@dataclass
class Mean:
    """Fake report of an evaluation."""

    mean: float


def run(folder: Path, n_trials: int = 2, **changes: Any) -> Study:
    """Run a study with an in-memory storage."""
    study = make_study(n_trials=n_trials, **changes)
    work(study, Objective(settings_of(study), folder, device="cpu"))
    return study


def results(study: Study) -> list[tuple[dict[str, Any], float | None, dict[int, float]]]:
    return [(trial.params, trial.value, trial.intermediate_values) for trial in study.trials]


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param(CARTPOLE, marks=pytest.mark.slow)],
    ids=["table", "network"],
)
def test_same_seed_gives_the_same_trials_and_scores(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    first = run(tmp_path / "a", pruner="none", **changes)
    second = run(tmp_path / "b", pruner="none", **changes)
    other = run(tmp_path / "c", pruner="none", seed=1, **changes)
    assert results(first) == results(second)
    assert results(first)[1:] != results(other)[1:]


def test_trial_writes_its_hyperparameters_as_yml(tmp_path: Path) -> None:
    study = run(tmp_path, n_trials=2)
    for trial in study.trials:
        entry = yaml.safe_load((tmp_path / f"{trial.number:04}.yml").read_text())["FrozenLake-v1"]
        assert entry["gamma"] == trial.params["gamma"]
        assert entry["learning_rate"] == pytest.approx(trial.params["learning_rate"], rel=0.005)
        assert entry["n_timesteps"] == 1000
        assert entry["policy_kwargs"] == {"initial_value": 0.0}
        assert entry["env_kwargs"] == {"is_slippery": False}


def test_first_trial_has_the_values_of_the_yml(tmp_path: Path) -> None:
    study = run(tmp_path, n_trials=1)
    assert study.trials[0].params == {"learning_rate": 0.5, "gamma": 0.99}


@pytest.mark.parametrize(("n_repeats", "n_evaluations"), [(1, 4), (3, 2)])
def test_scores_are_reported_at_equal_steps_and_the_last_ones_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_repeats: int, n_evaluations: int
) -> None:
    seeds = []
    real = module.TrialExperiment

    def watched(*args: Any, **kwargs: Any) -> Any:
        seeds.append(kwargs["seed"])
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "TrialExperiment", watched)
    study = run(
        tmp_path, n_trials=2, n_repeats=n_repeats, n_evaluations=n_evaluations, pruner="none"
    )
    for trial in study.trials:
        reported = trial.intermediate_values
        step = 1000 // n_evaluations
        assert list(reported) == list(range(step, n_repeats * 1000 + 1, step))
        last = [reported[1000 * (i + 1)] for i in range(n_repeats)]
        assert trial.value == pytest.approx(sum(last) / n_repeats)
    assert len(seeds) == len(set(seeds)) == 2 * n_repeats


def test_evaluations_use_the_settings_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = module.evaluate_games

    def watched(model: BaseAlgorithm, env_id: str, **kwargs: Any) -> Any:
        calls.append((env_id, kwargs))
        return real(model, env_id, **kwargs)

    monkeypatch.setattr(module, "evaluate_games", watched)
    run(tmp_path, n_trials=2, epsilon=0.1, n_games=3, max_frames=77)
    assert len(calls) == 4
    for env_id, kwargs in calls:
        assert env_id == "FrozenLake-v1"
        assert (kwargs["epsilon"], kwargs["n_games"], kwargs["max_frames"]) == (0.1, 3, 77)
        assert kwargs["env_kwargs"] == {"is_slippery": False}
    assert len({kwargs["seed"] for _, kwargs in calls}) == 1  # the same games for all trials


def test_bad_trial_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five good trials, then one that does not learn: it is pruned after its first evaluation."""
    study = make_study(n_trials=6, n_evaluations=4, n_timesteps=100)
    objective = Objective(settings_of(study), tmp_path, device="cpu")
    scores = iter([1.0] * 20 + [0.0])

    monkeypatch.setattr(module, "evaluate_games", lambda *args, **kwargs: Mean(next(scores)))
    work(study, objective)
    assert states(study) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert list(study.trials[5].intermediate_values) == [25]


def test_error_is_stored_and_fails_only_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Objective._train

    def sometimes(self: Objective, trial: Any) -> float:
        if trial.number == 1:
            raise MemoryError("out of\nmemory")
        return real(self, trial)

    monkeypatch.setattr(Objective, "_train", sometimes)
    study = run(tmp_path, n_trials=2)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs[ERROR] == "MemoryError: out of memory"


def test_storage_error_is_not_an_error_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: Objective, trial: Any) -> float:
        if trial.number == 0:
            raise StorageInternalError("gone")
        return 1.0

    monkeypatch.setattr(Objective, "_train", away)
    study = run(tmp_path, n_trials=1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert ERROR not in study.trials[0].user_attrs


def test_nan_score_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "evaluate_games", lambda *args, **kwargs: Mean(float("nan")))
    study = run(tmp_path, n_trials=2)
    assert states(study) == ["FAIL"] * 3
    assert study.trials[0].user_attrs[ERROR].startswith("ValueError: ")
    assert "nan" in study.trials[0].user_attrs[ERROR]


def test_bad_trial_is_pruned_after_its_first_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(n_trials=6, n_evaluations=1, n_repeats=2, n_timesteps=100)
    scores = iter([1.0] * 10 + [0.0])
    monkeypatch.setattr(module, "evaluate_games", lambda *args, **kwargs: Mean(next(scores)))
    work(study, Objective(settings_of(study), tmp_path, device="cpu"))
    assert states(study) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert list(study.trials[5].intermediate_values) == [100]


def test_last_score_is_reported_at_n_timesteps(tmp_path: Path) -> None:
    eight = {**TABLE, "n_envs": 8}
    study = run(tmp_path, n_trials=1, n_evaluations=300, n_games=1, hyperparams=eight)
    assert max(study.trials[0].intermediate_values) == 1000


def test_evaluation_uses_the_wrappers_of_training(tmp_path: Path) -> None:
    """Discretized observations: without the wrapper they would not fit the Q-table."""
    entry = load_hyperparams("q_learning")["CartPole-v1"]
    study = run(
        tmp_path,
        n_trials=1,
        env_id="CartPole-v1",
        hyperparams=entry,
        space={"n_bins": [[2, 2, 4, 4], [3, 3, 3, 3]], "gamma": [0.9, 0.99]},
    )
    assert states(study) == ["COMPLETE"]


def test_surplus_trial_trains_nothing(tmp_path: Path) -> None:
    study = run(tmp_path, n_trials=1)
    study.add_trial(study.trials[0])
    study.optimize(Objective(settings_of(study), tmp_path), n_trials=1, catch=(Exception,))
    last = study.trials[-1]
    assert last.state == TrialState.FAIL
    assert last.user_attrs == {SURPLUS: True}
    assert not (tmp_path / "0002.yml").exists()
