"""A model that is built from what was written down has the settings of the first one."""

from __future__ import annotations

import argparse
import json
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import SimpleLinearSchedule
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course import FastDQN, QLearning
from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course.checkpoints import CheckpointError
from sb3_atari_course.checkpoints.run_settings import (
    build_model,
    describe_run,
    experiment_behind,
    from_json,
    to_json,
)
from sb3_atari_course.q_learning import EpisodeDecay
from tests.checkpoints.small import dqn, poles
from tests.checkpoints.trainings import breakout, deep

LEARN = {"log_interval": 4, "tb_log_name": "DQN"}


def again(model: BaseAlgorithm, run: Path = Path()) -> BaseAlgorithm:
    """Return a model that is built from the description of another one."""
    description = describe_run(run, model, None, learn=LEARN, every=7)
    description = json.loads(json.dumps(description))
    assert (description["every"], description["learn"]) == (7, LEARN)
    assert description["threads"] == th.get_num_threads()
    return build_model(description, model.env, "cpu")


#: What no two models share, or what learning changes.
_NOT_SETTINGS = {"policy", "env", "replay_buffer", "action_space", "action_noise", "lr_schedule"}
_NOT_SETTINGS |= {"q_net", "q_net_target", "quantile_net", "quantile_net_target", "_logger"}


def settings(model: BaseAlgorithm) -> dict[str, Any]:
    """Return all that a model keeps, functions and schedules by what they return."""
    found = {}
    for name, value in vars(model).items():
        if name in _NOT_SETTINGS or isinstance(value, (th.Tensor, th.nn.Module)):
            continue
        found[name] = [value(x) for x in (0.0, 0.3, 1.0)] if "schedule" in name else repr(value)
    return {name: one for name, one in found.items() if " at 0x" not in str(one).lower()}


MODELS: dict[str, Any] = {
    "defaults": lambda env: DQN("MlpPolicy", env, device="cpu"),
    "many": lambda env: dqn(
        env,
        learning_rate=LinearSchedule(1e-3, 1e-5, 0.7),
        train_freq=(2, "episode"),
        gradient_steps=-1,
        gamma=0.9,
        tau=0.5,
        n_steps=3,
        exploration_initial_eps=0.7,
        max_grad_norm=1,
        stats_window_size=7,
        optimize_memory_usage=False,
        verbose=1,
        policy_kwargs={
            "net_arch": [8, 4],
            "activation_fn": th.nn.Tanh,
            "optimizer_class": th.optim.RMSprop,
            "optimizer_kwargs": {"alpha": 0.9},
        },
    ),
    "qrdqn": lambda env: QRDQN(
        "MlpPolicy", env, policy_kwargs={"n_quantiles": 5}, learning_rate=1e-2, device="cpu"
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_built_again_with_its_settings(name: str) -> None:
    env = poles(None, n_envs=2)
    if name == "many":
        env = poles(None)
    model = MODELS[name](env)
    other = again(model)
    assert settings(other) == settings(model)
    assert type(other.policy) is type(model.policy)
    assert type(other.replay_buffer) is type(model.replay_buffer)  # type: ignore[attr-defined]
    assert str(other.policy) == str(model.policy)
    pairs = zip(model.policy.parameters(), other.policy.parameters(), strict=True)
    if model.seed is not None:
        assert all((a == b).all() for a, b in pairs)
    env.close()


@pytest.mark.parametrize("algorithm", [DQN, FastDQN])
def test_our_own_pieces_are_found_by_their_names(algorithm: Any) -> None:
    env = breakout(None)
    model: Any = deep(algorithm, env)
    other: Any = again(model)
    assert settings(other) == settings(model)
    assert type(other.replay_buffer) is type(model.replay_buffer)
    assert other.replay_buffer.n_steps == 2
    env.close()


def test_a_table_is_built_again() -> None:
    env = make_vec_env("Taxi-v4", 2)
    for kwargs in (
        {"exploration": EpisodeDecay(1.0, 0.1, 0.9), "learning_rate": "visits"},
        {"exploration": LinearSchedule(1.0, 0.1, 0.5), "learning_rate": 0.5, "gamma": 0.8},
    ):
        model = QLearning("QTablePolicy", env, seed=3, **kwargs)
        assert settings(again(model)) == settings(model)
    env.close()


def test_a_function_is_asked_for(tmp_path: Path) -> None:
    env = poles(None)
    with pytest.raises(CheckpointError, match=r"^learning_rate = .*: build the model as the first"):
        again(dqn(env, learning_rate=lambda progress: 0.1 * progress))
    env.close()


def test_make_atari_env_is_noted_with_folders_seen_from_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    env = breakout(run / "monitors")
    description = describe_run(run, deep(DQN, env), None, learn=LEARN, every=7)
    noted = description["made_by"]
    assert noted["monitor_dir"] == "monitors"
    assert noted["env_id"] == "BreakoutNoFrameskip-v4"
    env.close()


def test_an_env_that_cannot_be_noted_keeps_nobody_from_noting_the_model(tmp_path: Path) -> None:
    class Local(DummyVecEnv):  # nobody finds it by its name
        pass

    env = breakout(None, vec_env_cls=Local)
    description = describe_run(tmp_path, deep(DQN, env), None, learn=LEARN, every=7)
    assert description["made_by"] is None
    assert type(build_model(description, env, "cpu")) is DQN
    env.close()


def test_nobody_is_behind_a_training_from_python() -> None:
    assert experiment_behind() is None


def test_arrays_for_the_wrappers_are_noted(tmp_path: Path) -> None:
    crop = np.array([30, 195, 5, 155])
    env = breakout(None, wrapper_kwargs={"shape": (36, 36), "crop": tuple(crop)})
    env.made_by["wrapper_kwargs"]["crop"] = crop  # type: ignore[attr-defined]
    description = describe_run(tmp_path, deep(DQN, env), None, learn=LEARN, every=7)
    noted = from_json(json.loads(json.dumps(description))["made_by"])
    np.testing.assert_array_equal(noted["wrapper_kwargs"]["crop"], crop)
    env.close()


def test_the_password_of_a_storage_is_not_noted(tmp_path: Path) -> None:
    """By the callback, in a training that stock RL Zoo has started."""
    arguments = argparse.Namespace(
        storage="postgresql://me:TOPSECRET@host/db", trained_agent="", conf_file=None
    )
    experiment = ExperimentManager(arguments, "dqn", "CartPole-v1", str(tmp_path))
    (tmp_path / "config.yml").write_text("policy: MlpPolicy\n")
    experiment.params_path = str(tmp_path)
    model = dqn(poles(None))
    description = describe_run(tmp_path, model, experiment, learn=LEARN, every=7)
    assert description["arguments"]["storage"] == "postgresql://me@host/db"
    assert "TOPSECRET" not in json.dumps(description)
    assert arguments.storage == "postgresql://me:TOPSECRET@host/db"  # RL Zoo may still need it
    model.env.close()


# Settings as JSON


def there_and_back(value: Any) -> Any:
    return from_json(json.loads(json.dumps(to_json(value))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -1e-5,
        float("inf"),
        "a word",
        [1, [2, "x"]],
        (4, "step"),
        {"a": {"b": (1,)}, 3: None, "list": 1, "name": 2},
        {},
        [],
        th.nn.ReLU,
        th.optim.Adam,
        DQN,
        np.mean,
        len,
    ],
)
def test_they_come_back(value: Any) -> None:
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [np.array([1.5, -np.inf]), np.array([[1, 2]], np.uint8), np.array([True]), np.array(["ab"])],
)
def test_arrays_come_back(array: Any) -> None:
    found = there_and_back({"low": array})["low"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


class Unit(Enum):
    STEP = "step"


def test_others_come_back_as_what_they_stand_for() -> None:
    assert there_and_back(Unit.STEP) == "step"
    assert there_and_back(Path("a") / "b") == str(Path("a") / "b")
    assert there_and_back(np.float32(0.5)) == 0.5
    assert type(there_and_back(np.int64(3))) is int


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSchedule(0.3),
        LinearSchedule(1.0, 0.05, 0.8),
        FloatSchedule(0.5),
        FloatSchedule(LinearSchedule(1.0, 0.05, 0.8)),
        SimpleLinearSchedule(0.25),
    ],
)
def test_schedules_come_back(schedule: Any) -> None:
    found = there_and_back(schedule)
    assert type(found) is type(schedule)
    assert [found(x) for x in (1.0, 0.7, 0.1, 0.0)] == [schedule(x) for x in (1.0, 0.7, 0.1, 0.0)]


def test_a_decay_by_episodes_comes_back() -> None:
    decay = EpisodeDecay(1.0, 0.1, 0.9)
    found = there_and_back(decay)
    assert type(found) is EpisodeDecay
    assert vars(found) == vars(decay)


def inner() -> Any:
    def function() -> None:
        """Nobody finds it from outside."""

    return function


@pytest.mark.parametrize("value", [lambda x: x, inner(), object(), th.zeros(2), {1, 2}, b"a"])
def test_what_cannot_be_found_again_is_named(value: Any) -> None:
    with pytest.raises(NotPlainError, match=r"^learning_rate = .* cannot be written down"):
        to_json({"seed": 3, "learning_rate": value})
    with pytest.raises(NotPlainError, match=r"^this setting = .* cannot be written down"):
        to_json(value)


@pytest.mark.parametrize("name", ["no_such_module:a", "json:dumbs", ":a", "json:dumps.a", "json"])
def test_a_name_that_is_gone_is_told(name: str) -> None:
    message = rf"^{name}, which the training used, is not there any more \(.*resume\(path, model="
    with pytest.raises(CheckpointError, match=message):
        from_json({"$name": name})
