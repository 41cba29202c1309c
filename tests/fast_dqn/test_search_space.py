"""What a tuning tries can be built, and means the same for any number of environments."""

from __future__ import annotations

import optuna
import pytest

from sb3_atari_course import FastDQN
from sb3_atari_course.fast_dqn.search_space import (
    convert_fast_dqn_params,
    sample_fast_dqn_params,
)


@pytest.mark.parametrize("n_envs", [1, 3, 8, 32])
def test_updates_are_one_for_one_to_eight_transitions(n_envs: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    ratios = set()
    for _ in range(40):
        trial = study.ask()
        suggested = sample_fast_dqn_params(trial, 4, n_envs, {})
        assert convert_fast_dqn_params(trial.params) == suggested
        ratios.add(suggested["train_freq"] * n_envs / suggested["gradient_steps"])
        study.tell(trial, 0.0)
    assert 0.7 <= min(ratios) <= 1.5
    assert 5 <= max(ratios) <= 9
    model = FastDQN("MlpPolicy", "CartPole-v1", **suggested)
    assert 0.97 <= model.gamma < 1
