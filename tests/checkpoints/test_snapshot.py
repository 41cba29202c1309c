"""A model in training as plain data: all of it, and only into one of the same kind."""

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
    _begin_episodes,
    all_within,
    check_known,
    evaluation_envs,
    read_callbacks,
    read_training,
    write_callbacks,
    write_training,
)
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


def test_other_algorithms_are_not_known() -> None:
    env = poles(None)
    with pytest.raises(TypeError, match="DQN, QRDQN, FastDQN and QLearning, got A2C"):
        check_known(A2C("MlpPolicy", env, device="cpu"))
    env.close()


# States of callbacks


class Pair(NamedTuple):
    a: int
    b: int


class Counting(BaseCallback):
    """Has attributes of all kinds."""

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


class Own(Counting):
    """Says itself what it keeps."""

    def checkpoint_state(self) -> Any:
        return [self.best]

    def restore_checkpoint_state(self, state: Any) -> None:
        (self.best,) = state


def test_new_episodes_of_normalised_observations_begin_with_the_original_ones() -> None:
    model = dqn(VecNormalize(poles(None)))
    model.learn(30)
    env = model._vec_normalize_env
    assert env is not None
    _begin_episodes(model, [], env.reset())
    np.testing.assert_array_equal(model._last_original_obs, env.get_original_obs())
    assert (np.abs(np.asarray(model._last_original_obs)) <= 0.05).all()  # where CartPole begins
    close(model)


def there_and_back(callback: Any, other: Any) -> None:
    packed, arrays = pack(read_callbacks(callback))
    write_callbacks(other, unpack(packed, arrays))


def test_plain_attributes_come_back(tmp_path: Any) -> None:
    one, other = Counting(), Counting()
    one.best, one.n_calls, one.num_timesteps = 3.5, 7, 28
    one.lengths.extend([1, 2, 3, 4])
    one.seen, one.name, other.name = np.arange(3), "a word", "another word"
    one.path, other.path = "a/path", "another/path"
    one.counts["x"], one.pair = 2, Pair(3, 4)
    there_and_back(one, other)
    assert (other.best, other.n_calls, other.num_timesteps) == (3.5, 7, 28)
    assert list(other.lengths) == [2, 3, 4]
    assert other.lengths.maxlen == 3
    assert other.seen.tolist() == [0, 1, 2]
    assert other.name == "a word"
    assert other.path == "another/path"  # a setting, not a state
    assert other.function is print
    assert (type(other.counts), other.counts) == (Counter, {"x": 2})
    assert (other.pair.a, other.pair.b) == (3, 4)


def test_a_callback_may_say_itself_what_it_keeps() -> None:
    one, other = Own(), Own()
    one.best, one.n_calls = 2.0, 5
    there_and_back(one, other)
    assert (other.best, other.n_calls) == (2.0, 5)


def test_those_within_others_are_found() -> None:
    env = poles(None)
    stop = StopTrainingOnNoModelImprovement(3)
    evaluation = EvalCallback(env, callback_after_eval=stop, callback_on_new_best=Own())
    every = EveryNTimesteps(5, Counting())
    outer = CallbackList([CallbackList([evaluation]), every, ExactCheckpoint(5)])
    kinds = [type(one).__name__ for one in all_within([outer, Own()])]
    assert kinds == [
        "CallbackList",
        "CallbackList",
        "EvalCallback",
        "StopTrainingOnNoModelImprovement",
        "Own",
        "EveryNTimesteps",
        "Counting",
        "ExactCheckpoint",
        "Own",
    ]
    assert evaluation_envs(outer) == [env]
    stop.no_improvement_evals, every.last_time_trigger = 2, 15
    evaluation.best_mean_reward, evaluation.evaluations_timesteps = 4.0, [5, 10]
    fresh = EvalCallback(
        env,
        callback_after_eval=StopTrainingOnNoModelImprovement(3),
        callback_on_new_best=Own(),
    )
    fresh_every = EveryNTimesteps(5, Counting())
    there_and_back(outer, [fresh, fresh_every])  # lists and our own callback may come and go
    assert fresh.callback.no_improvement_evals == 2  # type: ignore[union-attr]
    assert fresh_every.last_time_trigger == 15
    assert (fresh.best_mean_reward, fresh.evaluations_timesteps) == (4.0, [5, 10])
    env.close()


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ([], "had the callbacks Counting, Own, here they are none: pass the same ones, in the sa"),
        ([Own, Counting], "had the callbacks Counting, Own, here they are Own, Counting"),
        ([Counting, Own, Own], "here they are Counting, Own, Own"),
    ],
)
def test_others_are_refused_and_not_changed(here: list[type[Counting]], message: str) -> None:
    one = Counting()
    one.best = 9.0
    callbacks = [cls() for cls in here]
    with pytest.raises(CheckpointError, match=message):
        there_and_back([one, Own()], callbacks)
    assert all(callback.best == -np.inf for callback in callbacks)
