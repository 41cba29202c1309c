"""A model in training as plain data: weights, optimiser, counters, streams, what is not yet logged.

Taken between two rollouts, and put into a model that was built with the same settings.
"""

from __future__ import annotations

import time
from textwrap import shorten
from typing import Any

import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.envs.state.random_streams import (
    read_generator,
    read_global_streams,
    write_generator,
    write_global_streams,
)
from sb3_atari_course.envs.state.vec_env_state import NewEpisodes
from sb3_atari_course.q_learning import QLearning

#: Algorithms of which all that changes is known (FastDQN is a DQN).
KNOWN = (DQN, QRDQN, QLearning)

#: What changes while learning, beside weights and arrays; what a class has not is left out.
_COUNTERS = (
    "num_timesteps",
    "_num_timesteps_at_start",
    "_total_timesteps",
    "_current_progress_remaining",
    "_episode_num",
    "_n_updates",
    "_n_updates_at_start",
    "_n_calls",
    "exploration_rate",
    "sum_td_error",
    "n_updates_logged",
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_episode_starts",
)


def check_known(model: BaseAlgorithm) -> None:
    """Refuse an algorithm that changes what nobody here knows of.

    :raises TypeError: for others than DQN, QR-DQN, FastDQN and QLearning.
    """
    if not isinstance(model, KNOWN):
        raise TypeError(
            "exact checkpoints know DQN, QRDQN, FastDQN and QLearning, got"
            f" {type(model).__name__}: take SB3's CheckpointCallback for it"
        )


def read_training(model: BaseAlgorithm) -> Tree:
    """Return all that learning has changed, but the replay memory and the environments."""
    own = vars(model)
    state = {
        "parameters": model.get_parameters(),
        "counters": {name: own[name] for name in _COUNTERS if name in own},
        "seconds": (time.time_ns() - model.start_time) / 1e9,
        "last_obs": model._last_obs,
        "last_original_obs": model._last_original_obs,
        "streams": read_global_streams(),
        "actions": read_generator(model.action_space.np_random),
        "log": _read_pending(model),
        "threads": th.get_num_threads(),
    }
    if isinstance(model, QLearning):
        state["own_stream"] = read_generator(model._rng)
    return state


def write_training(model: BaseAlgorithm, state: Tree) -> None:
    """Put all that into a model.

    :raises CheckpointError: if the weights do not fit.
    """
    write_parameters(model, state)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model.start_time = time.time_ns() - int(state["seconds"] * 1e9)
    model._last_obs = state["last_obs"]
    model._last_original_obs = state["last_original_obs"]
    write_generator(model.action_space.np_random, state["actions"])
    if isinstance(model, QLearning):
        write_generator(model._rng, state["own_stream"])
    _write_pending(model, state["log"])
    write_global_streams(state["streams"])  # last: nothing above may draw from them


def write_parameters(model: BaseAlgorithm, state: Tree) -> None:
    """Put weights and optimiser into a model.

    :raises CheckpointError: if they do not fit.
    """
    try:
        model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            "the checkpoint has other weights than the model: build it with the same policy and"
            f" policy_kwargs. {shorten(str(error), 200)}"
        ) from None


def training_facts(model: BaseAlgorithm) -> dict[str, Any]:
    """Return what a model must agree with to go on from a checkpoint."""
    assert model.env is not None
    facts: dict[str, Any] = {
        "algorithm": f"{type(model).__module__}.{type(model).__qualname__}",
        "observations": str(model.observation_space),
        "actions": str(model.action_space),
        "n_envs": model.n_envs,
        "env": env_id_of(model),
    }
    if isinstance(model, OffPolicyAlgorithm):
        facts["replay_buffer"] = type(model.replay_buffer).__qualname__
    return facts


def check_facts(model: BaseAlgorithm, facts: dict[str, Any]) -> None:
    """Refuse a checkpoint of another training.

    :raises CheckpointError: with what differs.
    """
    for name, here in training_facts(model).items():
        if facts.get(name) != here:
            raise CheckpointError(
                f"the checkpoint is of another training: {name} was {facts.get(name)}, here it is"
                f" {here}: build model and env as the first time"
            )


def env_id_of(model: BaseAlgorithm) -> str | None:
    """Return the id of the environment, None if it has none."""
    assert model.env is not None
    try:
        (spec,) = model.env.get_attr("spec", 0)
    except AttributeError:
        return None
    return None if spec is None else str(spec.id)


def _read_pending(model: BaseAlgorithm) -> Tree:
    """Return what was recorded since the last line of the log (no figures or videos)."""
    logger = model.logger
    names = [name for name, value in logger.name_to_value.items() if is_plain(value)]
    return {
        name: [logger.name_to_value[name], logger.name_to_count[name], excluded]
        for name in names
        for excluded in [logger.name_to_excluded.get(name)]
        if is_plain(excluded)
    }


def _write_pending(model: BaseAlgorithm, pending: dict[str, list[Any]]) -> None:
    logger = model.logger
    for table in (logger.name_to_value, logger.name_to_count, logger.name_to_excluded):
        table.clear()
    for name, (value, count, excluded) in pending.items():
        logger.name_to_value[name] = value
        logger.name_to_count[name] = count
        if excluded is not None:
            logger.name_to_excluded[name] = excluded


def begin_episodes(model: BaseAlgorithm, episodes: NewEpisodes) -> None:
    """Let some environments begin anew: what they show replaces what the model saw last."""
    last: Any = model._last_obs
    for shown, seen in _arrays(episodes.observations, last):
        seen[episodes.begun] = shown[episodes.begun]
    if model._last_episode_starts is not None:
        model._last_episode_starts[episodes.begun] = True


def _arrays(shown: Any, seen: Any) -> list[tuple[Any, Any]]:
    """Return pairs of arrays, one for each key of a dictionary of observations."""
    if isinstance(seen, dict):
        return [(shown[key], seen[key]) for key in seen]
    return [(shown, seen)]
