"""Registration of FastDQN and QLearning with RL Zoo, for ``--algo`` and ``-optimize``."""

from __future__ import annotations

from typing import Any

from optuna import Trial
from rl_zoo3 import ALGOS
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course.fast_dqn import FastDQN
from sb3_atari_course.q_learning import QLearning
from sb3_atari_course.q_learning.schedules import VISITS

#: RL Zoo's name -> class.
OUR_ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"fast_dqn": FastDQN, "q_learning": QLearning}


def register_algorithms() -> None:
    """Register our algorithms with RL Zoo; calling it twice is harmless.

    RL Zoo reads its ``--algo`` choices when it builds its parsers, so call this before.
    """
    ALGOS.update(OUR_ALGORITHMS)
    HYPERPARAMS_SAMPLER["fast_dqn"] = sample_fast_dqn_params
    HYPERPARAMS_CONVERTER["fast_dqn"] = convert_fast_dqn_params
    HYPERPARAMS_SAMPLER["q_learning"] = sample_q_learning_params
    HYPERPARAMS_CONVERTER["q_learning"] = convert_q_learning_params


def sample_fast_dqn_params(
    trial: Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """Sample FastDQN's hyperparameters for one trial, with the signature of RL Zoo's samplers.

    One gradient step per 1, 2, 4 or 8 transitions, whatever the number of environments. The network
    architecture stays that of the yml.

    :return: keyword arguments of :class:`~sb3_atari_course.fast_dqn.FastDQN`.
    """
    frequencies = [(max(n // n_envs, 1), max(n_envs // n, 1)) for n in (1, 2, 4, 8)]
    choices = sorted({f"{steps} / {updates}" for steps, updates in frequencies})
    suggested = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 2e-3, log=True),
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 1e-4, 3e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 256]),
        "steps_and_updates": trial.suggest_categorical("steps_and_updates", choices),
        "target_update_interval": trial.suggest_int("target_update_interval", 1, 20000, log=True),
        "exploration_fraction": trial.suggest_float("exploration_fraction", 0.0, 0.5),
        "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.0, 0.2),
        "double_q": trial.suggest_categorical("double_q", [False, True]),
    }
    return convert_fast_dqn_params(suggested)


def convert_fast_dqn_params(sampled_params: dict[str, Any]) -> dict[str, Any]:
    """Convert the parameters of an Optuna trial to keyword arguments of FastDQN.

    :param sampled_params: parameters of a finished trial, as Optuna stores them.
    """
    hyperparams = dict(sampled_params)
    hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    steps, _, updates = hyperparams.pop("steps_and_updates").partition(" / ")
    return {**hyperparams, "train_freq": int(steps), "gradient_steps": int(updates)}


def sample_q_learning_params(
    trial: Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """Sample QLearning's hyperparameters for one trial, with the signature of RL Zoo's samplers.

    :return: keyword arguments of :class:`~sb3_atari_course.q_learning.QLearning`.
    """
    suggested: dict[str, Any] = {
        "learning_rate_kind": trial.suggest_categorical("learning_rate_kind", ["constant", VISITS]),
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.0001, 0.1, log=True),
        "initial_value": trial.suggest_float("initial_value", -1.0, 1.0),
        "final_eps": trial.suggest_float("final_eps", 0.0, 0.3),
        "decay": trial.suggest_float("decay", 0.0001, 0.1, log=True),
    }
    if suggested["learning_rate_kind"] == "constant":
        suggested["learning_rate"] = trial.suggest_float("learning_rate", 0.01, 1.0, log=True)
    return convert_q_learning_params(suggested)


def convert_q_learning_params(sampled_params: dict[str, Any]) -> dict[str, Any]:
    """Convert the parameters of an Optuna trial to keyword arguments of QLearning.

    :param sampled_params: parameters of a finished trial, as Optuna stores them.
    """
    return {
        "learning_rate": sampled_params.get("learning_rate", VISITS),
        "gamma": 1 - sampled_params["one_minus_gamma"],
        "exploration": {
            "initial_eps": 1.0,
            "final_eps": sampled_params["final_eps"],
            "decay": sampled_params["decay"],  # per episode
        },
        "policy_kwargs": {"initial_value": sampled_params["initial_value"]},
    }
