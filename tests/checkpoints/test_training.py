"""A model in training as plain data: all of it, and only into one of the same kind."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Figure

from sb3_atari_course import QLearning
from sb3_atari_course._common.state_tree import pack, unpack
from sb3_atari_course.checkpoints import CheckpointError
from sb3_atari_course.checkpoints.training import (
    begin_episodes,
    check_facts,
    check_known,
    read_training,
    training_facts,
    write_training,
)
from sb3_atari_course.envs.state.vec_env_state import NewEpisodes
from tests.checkpoints.small import close, dqn, poles


def saved(model: BaseAlgorithm) -> Any:
    """Return a training as a file gives it back."""
    packed, arrays = pack(read_training(model))
    return unpack(packed, [array.copy() for array in arrays])


def begun(model: BaseAlgorithm) -> BaseAlgorithm:
    """Return a model with all that its first ``learn()`` makes."""
    model.learn(0)
    return model


def draws(model: BaseAlgorithm) -> list[Any]:
    """Return the next number of each random stream."""
    import random

    own = model._rng.random() if isinstance(model, QLearning) else None
    return [
        random.random(),
        np.random.rand(),  # noqa: NPY002
        float(th.rand(1)),
        model.action_space.sample(),
        own,
    ]


@pytest.mark.parametrize("kind", ["DQN", "QLearning"])
def test_a_training_goes_into_a_new_model(kind: str) -> None:
    def make() -> BaseAlgorithm:
        if kind == "DQN":
            return dqn(poles(None))
        return QLearning("QTablePolicy", make_vec_env("Taxi-v4", 2, seed=1), seed=3)

    model, other = make(), begun(make())
    model.learn(100, log_interval=10**6)
    state = saved(model)
    expected = draws(model)
    write_training(other, state)
    assert draws(other) == expected
    pairs = zip(model.policy.state_dict().items(), other.policy.state_dict().items(), strict=True)
    assert all(name == same and (a == b).all() for (name, a), (same, b) in pairs)
    for name in ("num_timesteps", "_total_timesteps", "_episode_num", "_n_updates", "_n_calls"):
        assert getattr(other, name, None) == getattr(model, name, None)
    assert other.num_timesteps == 100
    assert list(other.ep_info_buffer or []) == list(model.ep_info_buffer or [])
    assert np.array_equal(other._last_obs, model._last_obs)  # type: ignore[arg-type]
    optimizers = [one.policy.optimizer.state_dict() for one in (model, other) if kind == "DQN"]
    if optimizers:
        assert str(optimizers[0]) == str(optimizers[1])
    for one in (model, other):
        close(one)


def test_time_goes_on_where_it_was() -> None:
    model, other = begun(dqn(poles(None))), begun(dqn(poles(None)))
    model.start_time = time.time_ns() - int(500e9)
    write_training(other, saved(model))
    assert (time.time_ns() - other.start_time) / 1e9 == pytest.approx(500, abs=10)
    for one in (model, other):
        close(one)


def test_what_waits_for_the_log_waits_on() -> None:
    model, other = begun(dqn(poles(None))), begun(dqn(poles(None)))
    logger: Any = model.logger
    logger.record("a", 3)
    logger.record("b", "word", exclude="csv")
    for value in (1.0, 2.0, 6.0):
        logger.record_mean("c", value)
    logger.record("d", Figure(None, close=False))  # type: ignore[arg-type]
    other.logger.record("of the new model", 1)
    write_training(other, saved(model))
    assert dict(other.logger.name_to_value) == {"a": 3, "b": "word", "c": 3.0}
    other.logger.record_mean("c", 3.0)
    assert other.logger.name_to_value["c"] == 3.0
    assert other.logger.name_to_count["c"] == 4
    assert other.logger.name_to_excluded["b"] == logger.name_to_excluded["b"]
    for one in (model, other):
        close(one)


def test_other_weights_are_refused() -> None:
    model, other = begun(dqn(poles(None))), begun(dqn(poles(None), policy_kwargs={"net_arch": [9]}))
    with pytest.raises(CheckpointError, match="other weights than the model: build it with the sa"):
        write_training(other, saved(model))
    tables = [
        begun(QLearning("QTablePolicy", make_vec_env(name)))
        for name in ("Taxi-v4", "CliffWalking-v1")
    ]
    with pytest.raises(CheckpointError, match="other weights than the model"):
        write_training(tables[1], saved(tables[0]))
    for one in (model, other, *tables):
        close(one)


def test_facts_name_what_differs() -> None:
    model = dqn(poles(None))
    facts = training_facts(model)
    check_facts(model, facts)
    assert facts["env"] == "CartPole-v1"
    for name in facts:
        with pytest.raises(CheckpointError, match=f"of another training: {name} was x, here it"):
            check_facts(model, {**facts, name: "x"})
        with pytest.raises(CheckpointError, match=f"{name} was None"):
            check_facts(model, {key: value for key, value in facts.items() if key != name})
    close(model)


def test_other_algorithms_are_not_known() -> None:
    env = poles(None)
    with pytest.raises(
        TypeError, match="know DQN, QRDQN, FastDQN and QLearning, got A2C: take SB3"
    ):
        check_known(A2C("MlpPolicy", env, device="cpu"))
    env.close()


def test_only_new_episodes_show_what_is_new() -> None:
    model = begun(dqn(poles(None, n_envs=3)))
    shown = np.full((3, 4), 9.0, np.float32)
    model._last_obs = np.zeros((3, 4), np.float32)
    model._last_episode_starts = np.zeros(3, bool)
    begin_episodes(model, NewEpisodes(np.array([False, True, False]), shown))
    assert model._last_obs[:, 0].tolist() == [0, 9, 0]
    assert model._last_episode_starts.tolist() == [False, True, False]
    both: Any = {"a": np.zeros(3), "b": np.zeros((3, 2))}
    model._last_obs = both
    seen = {"a": np.ones(3), "b": np.ones((3, 2))}
    begin_episodes(model, NewEpisodes(np.array([True, False, True]), seen))
    assert both["a"].tolist() == [1, 0, 1]
    assert both["b"].tolist() == [[1, 1], [0, 0], [1, 1]]
    close(model)
