"""What RL Zoo's ``-optimize`` tries for a table."""

from __future__ import annotations

from typing import Any

from optuna import Trial

from sb3_atari_course.q_learning.schedules import VISITS


def sample_q_learning_params(
    trial: Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """Suggest the hyperparameters of one trial (the arguments are those of RL Zoo's samplers).

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
    """Return the keyword arguments that a trial's parameters stand for.

    :param sampled_params: of a finished trial, as Optuna stores them.
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
