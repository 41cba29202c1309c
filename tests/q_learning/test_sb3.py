"""QLearning as an SB3 algorithm: predict, save, load, callbacks, logging."""

from __future__ import annotations

import copy
import json
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch as th
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course.q_learning import EpisodeDecay, QLearning
from tests.fakes import TabularEnv, random_rules


def make_env(**kwargs: Any) -> TabularEnv:
    return TabularEnv(random_rules(0), max_steps=9, **kwargs)


def make_model(**kwargs: Any) -> QLearning:
    env = make_env(first_state=10, first_action=3)
    model = QLearning("QTablePolicy", env, seed=0, **kwargs)
    model.q_table[:] = [[0, 1, 0], [5, 0, 0], [0, 0, 2], [3, 3, 0], [0, 0, 0], [-1, -2, -1]]
    return model


@pytest.mark.parametrize("n_envs", [None, 0, 3])
@pytest.mark.parametrize("shape", [None, (2, 3)])
def test_predict_returns_arrays_like_sb3(shape: Any, n_envs: int | None) -> None:
    env = make_env(shape=shape)
    theirs = DQN("MlpPolicy", env, buffer_size=1, device="cpu")
    observation: Any = np.zeros(np.shape(env.observation_space.sample()), np.int64)
    if n_envs is not None:
        observation = np.zeros((n_envs, *observation.shape), np.int64)
    expected, _ = theirs.predict(observation, deterministic=True)
    ours, state = QLearning("QTablePolicy", env, seed=0), (np.zeros(1),)
    for deterministic in (True, False):
        actions, returned = ours.predict(observation, state, deterministic=deterministic)
        assert type(actions) is type(expected) is np.ndarray
        assert (actions.dtype, actions.shape) == (expected.dtype, expected.shape)
        assert returned is state


def test_exploration_is_sampled_per_observation() -> None:
    model = make_model(exploration=0.5)
    model.exploration_rate = 0.5
    actions, _ = model.predict(np.full(6000, 11))
    counts = np.bincount(actions, minlength=6)[3:]
    assert counts == pytest.approx([4000, 1000, 1000], rel=0.12)
    model.exploration_rate = 0.0
    assert set(model.predict(np.full(100, 11))[0]) == {3}
    ties = np.bincount(model.predict(np.full(2000, 13))[0], minlength=6)[3:]
    assert ties == pytest.approx([1000, 1000, 0], rel=0.12)


@pytest.mark.parametrize("observation", [np.array([9]), np.array([[11]]), 11.0, (11, {})])
@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_rejects_invalid_observations(observation: Any, deterministic: bool) -> None:
    with pytest.raises(ValueError, match=r"state 9 lies|shape|must be integers|passed a tuple"):
        make_model().predict(observation, deterministic=deterministic)


def test_saved_q_table_loads_without_unpickling(
    tmp_path: Path,
) -> None:
    model = make_model(exploration=EpisodeDecay(0.9, 0.1, 0.2), gamma=0.7)
    model.learn(100)
    model.save(tmp_path / "model.zip")
    loaded = QLearning.load(tmp_path / "model.zip")
    np.testing.assert_array_equal(loaded.q_table, model.q_table)
    np.testing.assert_array_equal(loaded.policy.visits, model.policy.visits)
    assert (loaded.gamma, loaded.exploration) == (0.7, EpisodeDecay(0.9, 0.1, 0.2))
    assert (loaded.num_timesteps, loaded._episode_num) == (100, model._episode_num)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        with archive.open("policy.pth") as file:
            tensors = th.load(file, weights_only=True)
        data = json.loads(archive.read("data"))
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {
        "values": th.float64,
        "visits": th.int64,
    }
    assert data["_rng_state"]["stream"]["bit_generator"] == "PCG64"  # plain JSON
    pickled = {key for key, value in data.items() if ":serialized:" in str(value)}
    assert pickled <= {
        *("policy_class", "observation_space", "action_space", "exploration"),
        *("_last_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer"),
    }


COPY: dict[str, Any] = {
    "deepcopy": copy.deepcopy,
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
}


@pytest.mark.parametrize("how", COPY)
def test_copy_trains_like_the_original_and_independently(how: str) -> None:
    model = make_model(learning_rate="visits").learn(100)
    copied, before = COPY[how](model), model.q_table.copy()
    copied.learn(150, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.q_table, before)
    assert (copied.q_table != before).any()
    model.learn(150, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.q_table, copied.q_table)
    assert copied.policy.visits.sum() == 250


@pytest.mark.parametrize("schedule", [EpisodeDecay(1.0, 0.05, 0.1), LinearSchedule(1, 0.1, 1)])
@pytest.mark.parametrize("n_envs", [1, 2])
def test_loaded_model_continues_like_an_uninterrupted_one(
    tmp_path: Path, schedule: Any, n_envs: int
) -> None:
    def begin() -> QLearning:
        envs = DummyVecEnv([lambda seed=seed: Monitor(make_env()) for seed in range(n_envs)])
        return QLearning("QTablePolicy", envs, seed=5, learning_rate="visits", exploration=schedule)

    stopped, uninterrupted = begin().learn(101), begin().learn(101)
    stopped.save(tmp_path / "half.zip")
    envs = copy.deepcopy(stopped.env)  # SB3 does not save environments
    del stopped
    loaded = QLearning.load(tmp_path / "half.zip", env=envs, force_reset=False)
    for model in (loaded, uninterrupted):
        model.learn(200, reset_num_timesteps=False)
    np.testing.assert_array_equal(loaded.q_table, uninterrupted.q_table)
    np.testing.assert_array_equal(loaded.policy.visits, uninterrupted.policy.visits)
    assert loaded.num_timesteps == uninterrupted.num_timesteps
    assert loaded._episode_num == uninterrupted._episode_num
    assert loaded.exploration_rate == uninterrupted.exploration_rate
    assert loaded._rng.bit_generator.state == uninterrupted._rng.bit_generator.state
    assert loaded.sum_td_error == uninterrupted.sum_td_error
    assert [ep["r"] for ep in loaded.ep_info_buffer or ()] == [
        ep["r"] for ep in uninterrupted.ep_info_buffer or ()
    ]


@pytest.mark.parametrize("stop_at", range(20, 24))
def test_model_saved_by_a_callback_continues_identically(tmp_path: Path, stop_at: int) -> None:
    """Also at the end of an episode."""

    class Save(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == stop_at:
                self.model.save(tmp_path / "here.zip")
                self.envs = copy.deepcopy(self.model.env)
            return True

    save = Save()
    uninterrupted = QLearning("QTablePolicy", Monitor(make_env()), seed=5)
    uninterrupted.learn(60, callback=save)
    loaded = QLearning.load(tmp_path / "here.zip", env=save.envs, force_reset=False)
    loaded.learn(60 - stop_at, reset_num_timesteps=False)
    np.testing.assert_array_equal(loaded.q_table, uninterrupted.q_table)
    assert loaded._episode_num == uninterrupted._episode_num
    assert loaded.exploration_rate == uninterrupted.exploration_rate


def test_load_rejects_invalid_hyperparameters(tmp_path: Path) -> None:
    make_model().save(tmp_path / "model.zip")
    for kwargs, message in (
        ({"gamma": 7.0}, "gamma .* 7.0"),
        ({"learning_rate": "visit"}, "learning_rate .* 'visit'"),
        ({"learning_rate": 5.0}, "learning_rate .* 5.0"),
        ({"exploration": 5.0}, "exploration .* 5.0"),
    ):
        with pytest.raises(ValueError, match=message):
            QLearning.load(tmp_path / "model.zip", **kwargs)
    player = QLearning.load(tmp_path / "model.zip", learning_rate=0.0)  # like RL Zoo's enjoy
    assert player.predict(np.array([11]), deterministic=True)[0] == 3
    player.set_env(make_env(first_state=10, first_action=3))
    with pytest.raises(ValueError, match="learning_rate"):
        player.learn(10)


def test_load_rejects_files_of_other_algorithms(tmp_path: Path) -> None:
    DQN("MlpPolicy", "Taxi-v4", buffer_size=10).save(tmp_path / "dqn.zip")
    with pytest.raises(ValueError, match='QLearning needs "QTablePolicy", got DQNPolicy'):
        QLearning.load(tmp_path / "dqn.zip")


def test_initial_epsilon_is_that_of_the_first_step() -> None:
    assert make_model(exploration=0.1).exploration_rate == 0.1
    assert make_model(exploration=LinearSchedule(0.8, 0, 1)).exploration_rate == 0.8


def test_default_exploration_decays_by_episode_at_learning_rate_0_5() -> None:
    model = QLearning("QTablePolicy", make_env())
    assert (model.learning_rate, model.gamma) == (0.5, 0.99)
    assert model.exploration == EpisodeDecay(initial_eps=1.0, final_eps=0.001, decay=0.01)


def test_unseeded_models_differ() -> None:
    observations = np.zeros(50, int)
    sampled = [
        QLearning("QTablePolicy", make_env()).predict(observations)[0].tolist() for _ in range(2)
    ]
    assert sampled[0] != sampled[1]


def test_each_step_is_a_rollout() -> None:
    class Rollouts(BaseCallback):
        def _on_rollout_start(self) -> None:
            events.append("start")

        def _on_step(self) -> bool:
            events.append("step")
            return True

        def _on_rollout_end(self) -> None:
            events.append("end")

        def _on_training_end(self) -> None:
            events.append("over")

    events: list[str] = []
    make_model().learn(2, callback=Rollouts())
    assert events == ["start", "step", "end", "start", "step", "end", "over"]


def test_load_with_another_seed_changes_exploration(tmp_path: Path) -> None:
    model = make_model(exploration=1.0)
    model.save(tmp_path / "model.zip")
    observations = np.full(50, 10)
    sampled = [
        QLearning.load(tmp_path / "model.zip", **kwargs).predict(observations)[0].tolist()
        for kwargs in ({}, {}, {"seed": 1}, {"seed": 1}, {"seed": 2})
    ]
    assert sampled[0] == sampled[1] == model.predict(observations)[0].tolist()
    assert sampled[2] == sampled[3] != sampled[4]
    assert sampled[0] != sampled[2]


def test_episode_means_epsilon_and_td_error_are_logged(tmp_path: Path) -> None:
    model = QLearning(
        "QTablePolicy", TimeLimit(make_env(), 5), seed=0, gamma=0.0, learning_rate=0.25
    )
    model.set_logger(configure(str(tmp_path), ["csv", "json"]))
    model.learn(100, log_interval=5)
    rows = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert [row["time/episodes"] for row in rows[:3]] == [5, 10, 15]
    row = rows[-1]
    assert row["train/learning_rate"] == 0.25
    assert row["train/n_updates"] == row["time/total_timesteps"] <= 100
    kept = list(model.ep_info_buffer or ())[: row["time/episodes"]]
    assert row["rollout/ep_rew_mean"] == pytest.approx(np.mean([ep["r"] for ep in kept]))
    assert row["rollout/ep_len_mean"] == pytest.approx(np.mean([ep["l"] for ep in kept]))
    assert row["rollout/exploration_rate"] == pytest.approx(
        EpisodeDecay()(row["time/episodes"] - 1), rel=1e-5
    )
    assert 1 < row["rollout/ep_len_mean"] <= 5
    assert 0 < row["train/td_error"] < 2
    assert 0.5 < row["train/cells_visited"] <= 1
    assert row["time/fps"] > 0
    by_visits = QLearning("QTablePolicy", make_env(), learning_rate="visits")
    by_visits.set_logger(configure(str(tmp_path / "visits"), ["json"]))
    by_visits.learn(50, log_interval=1)
    assert "train/learning_rate" not in (tmp_path / "visits/progress.json").read_text()
    for logger in (model.logger, by_visits.logger):
        logger.close()


class FakeLogger:
    """Fake of SB3's logger that stores the recorded values."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = {}

    def record(self, key: str, value: Any, exclude: Any = None) -> None:
        self.seen.setdefault(key, []).append(value)

    def dump(self, step: int) -> None: ...


def test_success_rate_visited_cells_and_fps_are_logged() -> None:
    rules = {0: {0: [(1.0, 0, 8.0, True)], 1: [(1.0, 0, 0.0, True)]}}
    envs = [TabularEnv(rules), TabularEnv(rules)]
    model = QLearning("QTablePolicy", DummyVecEnv([lambda w=w: w for w in envs]))  # type: ignore[misc]
    model.policy.visits[0, 1] = 1
    logger = FakeLogger()
    model.set_logger(logger)  # type: ignore[arg-type]
    model.num_timesteps = 10**9  # of an earlier training: not included in fps
    model.ep_info_buffer, model.ep_success_buffer = deque(), deque([True, False])
    model.learn(2, log_interval=1, reset_num_timesteps=False)
    assert logger.seen["rollout/success_rate"] == [0.5]
    assert logger.seen["train/cells_visited"][-1] in (0.5, 1.0)
    assert logger.seen["time/episodes"] == [2]  # both ended in the same step: one log
    assert logger.seen["time/fps"][0] < 10**7


def test_log_interval_none_disables_logging() -> None:
    model, logger = make_model(), FakeLogger()
    model.set_logger(logger)  # type: ignore[arg-type]
    model.learn(50, log_interval=None)
    assert logger.seen == {}


def test_td_error_is_averaged_since_the_last_log() -> None:
    rules = {0: {0: [(1.0, 0, 8.0, True)]}}
    model = QLearning(
        "QTablePolicy",
        TabularEnv(rules),
        learning_rate=0.5,
        policy_kwargs={"initial_value": 16.0},
    )
    logger = FakeLogger()
    model.set_logger(logger)  # type: ignore[arg-type]
    model.learn(4, log_interval=2)
    assert logger.seen["train/td_error"] == [6.0, 1.5]  # errors -8, -4 and -2, -1


def test_device_is_ignored() -> None:
    assert QLearning("QTablePolicy", make_env(), device="cuda").device == th.device("cpu")


def test_learn_for_zero_steps_changes_nothing() -> None:
    model = make_model()
    before = model.q_table.copy()
    model.learn(0)
    np.testing.assert_array_equal(model.q_table, before)
