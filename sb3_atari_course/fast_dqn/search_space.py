"""What RL Zoo's ``-optimize`` tries for FastDQN."""

from __future__ import annotations

from typing import Any

from optuna import Trial


def sample_fast_dqn_params(
    trial: Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """Suggest the hyperparameters of one trial (the arguments are those of RL Zoo's samplers).

    How often is learned counts in transitions, whatever the number of environments: an update for
    1 to 8 of them. The network stays that of the yml.

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
    """Return the keyword arguments that a trial's parameters stand for.

    :param sampled_params: of a finished trial, as Optuna stores them.
    """
    hyperparams = dict(sampled_params)
    hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    steps, _, updates = hyperparams.pop("steps_and_updates").partition(" / ")
    return {**hyperparams, "train_freq": int(steps), "gradient_steps": int(updates)}
