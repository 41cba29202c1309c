"""Snapshots: state of a training and its callbacks as plain data, and its restoration."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch as th
from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnNoModelImprovement,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Figure
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_course import QLearning
from sb3_atari_course._common.state_tree import pack, unpack
from sb3_atari_course.checkpoints import CheckpointError, ExactCheckpoint
from sb3_atari_course.checkpoints.snapshot import (
    _start_episodes,
    all_within,
    check_supported,
    evaluation_envs,
    read_callbacks,
    read_training,
    write_callbacks,
    write_training,
)
from tests.checkpoints.cartpole_trainings import cartpole, close, dqn


def round_tripped(model: BaseAlgorithm) -> Any:
    """Return the state of a training as read from a file."""
    packed, arrays = pack(read_training(model))
    return unpack(packed, [array.copy() for array in arrays])


def initialized(model: BaseAlgorithm) -> BaseAlgorithm:
    """Return a model initialized by its first ``learn()``."""
    model.learn(0)
    return model


def next_random_numbers(model: BaseAlgorithm) -> list[Any]:
    """Return the next number of each random generator."""
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
def test_training_state_is_restored_into_a_new_model(kind: str) -> None:
    def make() -> BaseAlgorithm:
        if kind == "DQN":
            return dqn(cartpole(None))
        return QLearning("QTablePolicy", make_vec_env("Taxi-v4", 2, seed=1), seed=3)

    model, other = make(), initialized(make())
    model.learn(100, log_interval=10**6)
    state = round_tripped(model)
    expected = next_random_numbers(model)
    write_training(other, state)
    assert next_random_numbers(other) == expected
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


def test_elapsed_time_is_restored() -> None:
    model, other = initialized(dqn(cartpole(None))), initialized(dqn(cartpole(None)))
    model.start_time = time.time_ns() - int(500e9)
    write_training(other, round_tripped(model))
    assert (time.time_ns() - other.start_time) / 1e9 == pytest.approx(500, abs=10)
    for one in (model, other):
        close(one)


def test_pending_log_values_are_restored() -> None:
    model, other = initialized(dqn(cartpole(None))), initialized(dqn(cartpole(None)))
    logger: Any = model.logger
    logger.record("a", 3)
    logger.record("b", "word", exclude="csv")
    for value in (1.0, 2.0, 6.0):
        logger.record_mean("c", value)
    logger.record("d", Figure(None, close=False))  # type: ignore[arg-type]
    other.logger.record("of the new model", 1)
    write_training(other, round_tripped(model))
    assert dict(other.logger.name_to_value) == {"a": 3, "b": "word", "c": 3.0}
    other.logger.record_mean("c", 3.0)
    assert other.logger.name_to_value["c"] == 3.0
    assert other.logger.name_to_count["c"] == 4
    assert other.logger.name_to_excluded["b"] == logger.name_to_excluded["b"]
    for one in (model, other):
        close(one)


def test_rejects_unsupported_algorithms() -> None:
    env = cartpole(None)
    with pytest.raises(TypeError, match="DQN, QRDQN, FastDQN and QLearning, got A2C"):
        check_supported(A2C("MlpPolicy", env, device="cpu"))
    env.close()


# States of callbacks


class Pair(NamedTuple):
    a: int
    b: int


class PlainCallback(BaseCallback):
    """Callback with attributes of many types."""

    def __init__(self) -> None:
        super().__init__()
        self.best, self.lengths, self.name = -np.inf, deque(maxlen=3), "a word"
        self.seen: Any = None
        self.path = ""
        self.counts: Counter[str] = Counter()
        self.pair = Pair(1, 2)
        self.function = print

    def _on_step(self) -> bool:
        return True


class CustomStateCallback(PlainCallback):
    """Callback with custom checkpoint methods."""

    def checkpoint_state(self) -> Any:
        return [self.best]

    def restore_checkpoint_state(self, state: Any) -> None:
        (self.best,) = state


def test_start_episodes_restores_unnormalized_observations() -> None:
    model = dqn(VecNormalize(cartpole(None)))
    model.learn(30)
    env = model._vec_normalize_env
    assert env is not None
    _start_episodes(model, [], env.reset())
    np.testing.assert_array_equal(model._last_original_obs, env.get_original_obs())
    assert (np.abs(np.asarray(model._last_original_obs)) <= 0.05).all()  # CartPole's initial states
    close(model)


def round_trip(callback: Any, other: Any) -> None:
    packed, arrays = pack(read_callbacks(callback))
    write_callbacks(other, unpack(packed, arrays))


def test_plain_attributes_are_restored(tmp_path: Any) -> None:
    one, other = PlainCallback(), PlainCallback()
    one.best, one.n_calls, one.num_timesteps = 3.5, 7, 28
    one.lengths.extend([1, 2, 3, 4])
    one.seen, one.name, other.name = np.arange(3), "a word", "another word"
    one.path, other.path = "a/path", "another/path"
    one.counts["x"], one.pair = 2, Pair(3, 4)
    round_trip(one, other)
    assert (other.best, other.n_calls, other.num_timesteps) == (3.5, 7, 28)
    assert list(other.lengths) == [2, 3, 4]
    assert other.lengths.maxlen == 3
    assert other.seen.tolist() == [0, 1, 2]
    assert other.name == "a word"
    assert other.path == "another/path"  # a setting, not a state
    assert other.function is print
    assert (type(other.counts), other.counts) == (Counter, {"x": 2})
    assert (other.pair.a, other.pair.b) == (3, 4)


def test_custom_checkpoint_state_is_restored() -> None:
    one, other = CustomStateCallback(), CustomStateCallback()
    one.best, one.n_calls = 2.0, 5
    round_trip(one, other)
    assert (other.best, other.n_calls) == (2.0, 5)


def test_nested_callbacks_are_restored() -> None:
    env = cartpole(None)
    stop = StopTrainingOnNoModelImprovement(3)
    evaluation = EvalCallback(
        env, callback_after_eval=stop, callback_on_new_best=CustomStateCallback()
    )
    every = EveryNTimesteps(5, PlainCallback())
    outer = CallbackList([CallbackList([evaluation]), every, ExactCheckpoint(5)])
    kinds = [type(one).__name__ for one in all_within([outer, CustomStateCallback()])]
    assert kinds == [
        "CallbackList",
        "CallbackList",
        "EvalCallback",
        "StopTrainingOnNoModelImprovement",
        "CustomStateCallback",
        "EveryNTimesteps",
        "PlainCallback",
        "ExactCheckpoint",
        "CustomStateCallback",
    ]
    assert evaluation_envs(outer) == [env]
    stop.no_improvement_evals, every.last_time_trigger = 2, 15
    evaluation.best_mean_reward, evaluation.evaluations_timesteps = 4.0, [5, 10]
    fresh = EvalCallback(
        env,
        callback_after_eval=StopTrainingOnNoModelImprovement(3),
        callback_on_new_best=CustomStateCallback(),
    )
    fresh_every = EveryNTimesteps(5, PlainCallback())
    round_trip(outer, [fresh, fresh_every])  # lists and ExactCheckpoint may be added or removed
    assert fresh.callback.no_improvement_evals == 2  # type: ignore[union-attr]
    assert fresh_every.last_time_trigger == 15
    assert (fresh.best_mean_reward, fresh.evaluations_timesteps) == (4.0, [5, 10])
    env.close()


@pytest.mark.parametrize(
    ("here", "named"),
    [
        ([], "none"),
        ([CustomStateCallback, PlainCallback], "CustomStateCallback, PlainCallback"),
        (
            [PlainCallback, CustomStateCallback, CustomStateCallback],
            "PlainCallback, CustomStateCallback, CustomStateCallback",
        ),
    ],
)
def test_rejects_other_callbacks_without_changes(
    here: list[type[PlainCallback]], named: str
) -> None:
    one = PlainCallback()
    one.best = 9.0
    callbacks = [cls() for cls in here]
    saved = "had the callbacks PlainCallback, CustomStateCallback, "
    with pytest.raises(CheckpointError, match=f"{saved}here they are {named}: "):
        round_trip([one, CustomStateCallback()], callbacks)
    assert all(callback.best == -np.inf for callback in callbacks)
