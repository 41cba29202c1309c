"""Registration of our algorithms with RL Zoo."""

from __future__ import annotations

import optuna
import pytest
from rl_zoo3 import ALGOS
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from stable_baselines3 import DQN

from sb3_atari_course import FastDQN, QLearning
from sb3_atari_course.zoo.algorithms import (
    OUR_ALGORITHMS,
    convert_fast_dqn_params,
    register_algorithms,
    sample_fast_dqn_params,
)
from tests.fakes import TabularEnv, random_rules


def test_registration_adds_our_algorithms_and_keeps_the_others() -> None:
    for _ in range(2):
        register_algorithms()
        assert ALGOS["q_learning"] is QLearning
        assert ALGOS["fast_dqn"] is FastDQN
        assert ALGOS["dqn"] is DQN
    for registry in (ALGOS, HYPERPARAMS_SAMPLER, HYPERPARAMS_CONVERTER):
        assert set(OUR_ALGORITHMS) <= set(registry)


def test_sampled_q_learning_hyperparameters_build_a_model_and_convert_back() -> None:
    register_algorithms()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    kinds = set()
    for _ in range(20):
        trial = study.ask()
        suggested = HYPERPARAMS_SAMPLER["q_learning"](trial, 0, 1, {})
        model = QLearning("QTablePolicy", TabularEnv(random_rules(0)), **suggested)
        assert 0.9 <= model.gamma < 1
        assert model.q_table[0, 0] == trial.params["initial_value"]
        assert HYPERPARAMS_CONVERTER["q_learning"](trial.params) == suggested
        kinds.add(isinstance(model.learning_rate, str))
        study.tell(trial, 0.0)
    assert kinds == {True, False}


@pytest.mark.parametrize("n_envs", [1, 3, 8, 32])
def test_sampled_update_ratio_is_one_per_one_to_eight_transitions(n_envs: int) -> None:
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
