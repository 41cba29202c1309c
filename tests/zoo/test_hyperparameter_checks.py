"""Hyperparameter checks: names, types and ranges."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import rl_zoo3
import yaml
from rl_zoo3 import ALGOS
from rl_zoo3.utils import get_wrapper_class

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.envs import register_envs
from sb3_atari_course.hyperparams import ALGORITHMS, load_hyperparams
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import CourseExperimentManager
from sb3_atari_course.zoo.hyperparameter_checks import (
    NamedValues,
    check_entry,
    check_env_kwargs,
)

register_algorithms()

BUFFER = {"replay_buffer_class": "get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')"}
REPEAT = "sb3_atari_course.wrappers.ActionRepeat"
TABLE = {"policy": "QTablePolicy"}


def place(key: str) -> str:
    return f"x.yml: {key}: "


def check(algo: str = "dqn", **entry: Any) -> dict[str, Any]:
    """Check and return a valid entry with the given keys added."""
    full = {"policy": "MlpPolicy", "n_timesteps": 300, **entry}
    check_entry(full, algo, place)
    return full


@pytest.mark.parametrize("text", ["1e3", "9e-1", "1e-5", "-2e-7", "1e300", "7"])
@pytest.mark.parametrize(
    ("algo", "key"),
    [
        *(
            ("dqn", key)
            for key in ["n_timesteps", "n_envs", "gamma", "learning_rate", "train_freq"]
        ),
        *(("fast_dqn", "n_steps"), ("ppo", "clip_range_vf"), ("q_learning", "exploration")),
        *(("ars", "delta_std"), ("td3", "noise_std")),
    ],
)
def test_rejects_strings_for_numbers(algo: str, key: str, text: str) -> None:
    policy = TABLE if algo == "q_learning" else {}
    with pytest.raises(SettingError, match=f"x.yml: {key}: {text!r} .* as in 1.0e-4"):
        check(algo, **policy, **{key: text})


@pytest.mark.parametrize(
    ("algo", "key", "value", "expected"),
    [
        ("dqn", "buffer_size", 1.0e4, 10_000),
        ("dqn", "train_freq", 4.0, 4),
        ("dqn", "tau", 1.0, 1.0),
        ("dqn", "gamma", 1, 1),
        ("qrdqn", "policy_kwargs", {"n_quantiles": 5.0}, {"n_quantiles": 5}),
        ("qrdqn", "policy_kwargs", "dict(n_quantiles=5.)", {"n_quantiles": 5}),
        ("dqn", "monitor_kwargs", {"info_keywords": ["a"]}, {"info_keywords": ("a",)}),
    ],
)
def test_whole_number_floats_of_integer_keys_become_integers(
    algo: str, key: str, value: Any, expected: Any
) -> None:
    assert repr(check(algo, **{key: value})[key]) == repr(expected)


@pytest.mark.parametrize(
    ("algo", "entry"),
    [
        ("dqn", {"learning_rate": "lin_1e-3"}),
        ("dqn", {"normalize": {"clip_obs": float("inf")}, "gradient_steps": 0}),
        ("dqn", {"policy_kwargs": "dict(net_arch=[], activation_fn=nn.ReLU)"}),
        ("dqn", {"replay_buffer_kwargs": {"handle_timeout_termination": False}, "gamma": 0.9}),
        ("dqn", {"frame_stack": 1, "normalize": True}),
        ("ppo", {"frame_stack": 2, "normalize": True, "clip_range": "lin_0.2"}),
        ("ppo", {"policy_kwargs": {"net_arch": [{"pi": [8], "vf": [8]}]}, "clip_range_vf": -1}),
        ("dqn", {"train_freq": [1, "episode"], "gradient_steps": -1}),
        ("dqn", {"policy_kwargs": None, "env_wrapper": None, "frame_stack": None}),
        ("dqn", {"batch_size": np.int64(32), "optimize_memory_usage": np.True_}),
        ("sac", {"ent_coef": "auto", "noise_type": None}),
        ("q_learning", {**TABLE, "learning_rate": "visits"}),
        ("q_learning", {**TABLE, "exploration": {"decay": 0.1}}),
        ("q_learning", {**TABLE, "exploration": "lin_0.5"}),
    ],
)
def test_valid_values_are_unchanged(algo: str, entry: dict[str, Any]) -> None:
    checked = check(algo, **entry)
    assert {key: checked[key] for key in entry} == entry


def test_accepts_entries_of_rl_zoo_and_ours() -> None:
    files = {path.stem: path for path in (Path(rl_zoo3.__file__).parent / "hyperparams").iterdir()}
    contents = {algo: yaml.safe_load(files[algo].read_text()) for algo in ALGOS if algo in files}
    contents |= {f"{algo} of ours": load_hyperparams(algo) for algo in ALGORITHMS}
    n_checked = 0
    for name, content in contents.items():
        for entry in content.values():
            try:
                get_wrapper_class(entry)
            except ImportError:  # of an environment that is not installed
                continue
            check_entry(dict(entry), name.split()[0], place)
            n_checked += 1
    assert n_checked > 200


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("gradient_steps", ["x", -2, math.nan, math.inf]),
        ("batch_size", [32.5, True, 0]),
        ("gamma", [None, 1.5, -0.5, math.nan]),
        ("exploration_final_eps", [2]),
        ("optimize_memory_usage", ["no", 0]),
        ("learning_rate", ["lin_x", "lin_-1", [0.1], -0.1, math.inf]),
        ("policy_kwargs", [3, "dict(net_arch="]),
        ("normalize", ["no"]),
        ("replay_buffer_class", ["Nonsense"]),
        ("env_kwargs", [3]),
        ("policy", [None, 3, "nowhere.Policy"]),
        ("train_freq", [[4], [0, "step"], -1]),
        ("frame_stack", [-1]),
        ("learning_starts", [-1]),
        ("noise_type", ["normal"]),
        ("callback", [3]),
        ("env_wrapper", [3, "ClipReward", "nowhere.ClipReward"]),
        ("learning_rat", [1]),
    ],
)
def test_error_has_key_and_value(key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(SettingError) as caught:
            check(**{key: value})
        assert str(caught.value).startswith(f"x.yml: {key}: {value!r} ")


@pytest.mark.parametrize(
    ("algo", "entry", "expected"),
    [
        ("dqn", {"learning_rat": 1}, "did you mean learning_rate?"),
        ("dqn", {"zzz": 4}, "choose one of batch_size, buffer_size"),
        ("dqn", {"env_wrapper": f"{REPEAT}s"}, "did you mean ActionRepeat?"),
        ("dqn", {"policy_kwargs": {"net_arc": [4]}}, "policy_kwargs.net_arc: [4]"),
        ("dqn", {"policy_kwargs": {"net_arch": "x"}}, "policy_kwargs.net_arch: 'x'"),
        ("dqn", {"policy_kwargs": {"net_arch": [64, "1e2"]}}, "policy_kwargs.net_arch: '1e2'"),
        ("dqn", {"policy_kwargs": "dict(net_arch=[64, '1e2'])"}, "policy_kwargs.net_arch: '1e2'"),
        ("dqn", {"policy_kwargs": {"net_arch": [True]}}, "policy_kwargs.net_arch: True"),
        ("dqn", {"policy_kwargs": {"net_arch": [0]}}, "policy_kwargs.net_arch: 0"),
        ("dqn", {"policy_kwargs": {"net_arch": [8.0]}}, "policy_kwargs.net_arch: 8.0"),
        ("dqn", {"policy_kwargs": {"activation_fn": "relu"}}, '"dict(activation_fn=nn.ReLU)"'),
        ("ppo", {"policy_kwargs": {"net_arch": {"pi": [64], "vf": ["64"]}}}, "net_arch.vf: '64'"),
        ("dqn", {"normalize": "dict(norm_reward='no')"}, "normalize.norm_reward: 'no'"),
        ("dqn", {"normalize": {"gamma": 2}}, "normalize.gamma: 2"),
        ("dqn", {"normalize": "3"}, "normalize: 3"),
        ("dqn", {"normalize": True, "frame_stack": 2}, "normalize: True"),
        ("dqn", {"monitor_kwargs": {"info_keyword": ()}}, "monitor_kwargs.info_keyword: ()"),
        (
            "dqn",
            {"replay_buffer_kwargs": {"n_steps": "1e1"}},
            "replay_buffer_kwargs.n_steps: '1e1'",
        ),
        ("dqn", {"replay_buffer_class": "nn.Module"}, "<class 'torch.nn.modules.module.Module'>"),
        ("dqn", {"env_kwargs": {"gravity": "1e1"}}, "env_kwargs.gravity: '1e1'"),
        ("dqn", {"env_wrapper": [{REPEAT: {"frame_skip": "4e0"}}]}, "frame_skip: '4e0'"),
        ("dqn", {"env_wrapper": [{f"{REPEAT}s": {}}]}, f"env_wrapper: '{REPEAT}s'"),
        ("sac", {"ent_coef": "1e-2"}, "ent_coef: '1e-2'"),
        ("ppo", {"replay_buffer_kwargs": {}}, "replay_buffer_kwargs: {} "),
        (
            "dqn",
            {**BUFFER, "replay_buffer_kwargs": {"n_steps": 3, "gamma": 0.9}},
            "replay_buffer_kwargs.gamma: 0.9",
        ),
        (
            "qrdqn",
            {**BUFFER, "replay_buffer_kwargs": "dict(n_steps=3)", "gamma": 0.9},
            "replay_buffer_kwargs.gamma: 0.99",
        ),
    ],
)
def test_error_has_nested_key_and_value(algo: str, entry: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        check(algo, **entry)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"replay_buffer_kwargs": {"n_steps": 3, "gamma": None}}, 0.99),
        ({"replay_buffer_kwargs": "dict(n_steps=3, gamma=None)", "gamma": 0.9}, 0.9),
        ({"replay_buffer_kwargs": {"gamma": None}, "gamma": 0.9}, None),  # no n-step returns
        ({"replay_buffer_kwargs": {"n_steps": 1, "gamma": 0.5}, "gamma": 0.9}, 0.5),
    ],
)
def test_replay_buffer_gamma_of_none_becomes_that_of_the_algorithm(
    entry: dict[str, Any], expected: float | None
) -> None:
    assert check("dqn", **BUFFER, **entry)["replay_buffer_kwargs"]["gamma"] == expected


def test_rejects_missing_policy() -> None:
    with pytest.raises(SettingError, match=r"policy: .*MlpPolicy, CnnPolicy"):
        check_entry({"n_timesteps": 3}, "dqn", place)


def test_user_modules_keep_their_errors_and_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken_wrappers.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "my_policies.py").write_text(
        "class Policy:\n    def __init__(self, size: int = None): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        check(env_wrapper="my_broken_wrappers.Mine")
    kwargs = {"size": None, "other": 3}
    assert check(policy="my_policies.Policy", policy_kwargs=kwargs)["policy_kwargs"] == kwargs


def read(config: str, env_id: str = "CartPole-v1") -> dict[str, Any]:
    """Read hyperparameters as our launcher does."""
    register_envs()
    manager = CourseExperimentManager(argparse.Namespace(), "dqn", env_id, "", config=config)
    return dict(manager.read_hyperparameters()[0])


@pytest.mark.parametrize(
    ("config", "content", "expected"),
    [
        ("x.yml", "", "CartPole-v1: {policy: MlpPolicy"),  # an example
        ("x.yml", "[1]", "CartPole-v1: {policy: MlpPolicy"),
        ("x.yml", "CartPole-v1: [policy]", "CartPole-v1: {policy: MlpPolicy"),
        ("x.yml", "CartPole-v1: {1: 2}", "1: 2 "),
        ("x.yml", "Pendulum-v1: {}", "'default'"),
        ("x.yml", "a: [", "line 1"),
        ("x.yml", "\0", "cannot be read"),
        ("empty.py", "x = 1", "'hyperparams'"),
        ("raises.py", "hyperparams = {}['CartPole-v1']", "KeyError: 'CartPole-v1'"),
        ("damaged.py", "hyperparams = {\n", "never closed"),
        (".", None, "cannot be read"),
        ("nowhere.yml", None, "No such file"),
        ("nowhere", None, "No module named 'nowhere'"),
        ("os", None, "no attribute 'hyperparams'"),
        ("hyperparams/dqn_laptop.yml", None, "-conf sb3_atari_course.hyperparams.dqn_laptop"),
        ("hyperparams/fast_dqn", None, "-conf sb3_atari_course.hyperparams.fast_dqn"),
    ],
)
def test_rejects_unreadable_config(
    config: str,
    content: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(config).write_text(content)
    with pytest.raises(SettingError) as caught:
        read(config)
    assert config in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reads_python_config_and_module(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = {'policy': 'MlpPolicy'}\nhyperparams = {'atari': a}\n")
    for config in (f"{tmp_path}/x.py", "sb3_atari_course.hyperparams.dqn"):
        assert "policy" in read(config, "PongNoFrameskip-v4")


@pytest.mark.parametrize(
    ("env_id", "kwargs", "expected"),
    [
        ("CartPole-v1", {"sutton_barto_rewar": True}, "sutton_barto_rewar"),
        ("CartPole-v1", {"sutton_barto_reward": "yes"}, "flag.sutton_barto_reward: 'yes'"),
        ("CartPole-v1", {"max_episode_steps": "1e3"}, "flag.max_episode_steps: '1e3'"),
        ("CartPole-v1", {"max_episode_steps": 0}, "{'max_episode_steps': 0}"),
        ("BreakoutNoFrameskip-v4", {"repeat_action_probability": 7}, "probability: 7"),
        ("BreakoutNoFrameskip-v4", {"mode": 99}, "{'mode': 99}"),
    ],
)
def test_rejects_invalid_env_kwargs(env_id: str, kwargs: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_env_kwargs(kwargs, env_id, "flag")
    assert str(caught.value).startswith("flag")
    assert expected in str(caught.value)


def test_env_kwargs_of_an_unannotated_factory_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, Any]] = []

    def make(**kwargs: Any) -> gym.Env[Any, Any]:
        taken.append(kwargs)
        return gym.make("CartPole-v1").unwrapped

    monkeypatch.setitem(
        gym.registry, "Any-v0", gym.envs.registration.EnvSpec("Any-v0", entry_point=make)
    )
    kwargs = {"anything": 3, "max_episode_steps": 9.0}
    check_env_kwargs(kwargs, "Any-v0", "flag")
    assert (taken, repr(kwargs["max_episode_steps"])) == ([{"anything": 3}], "9")
    check_env_kwargs(None, "CartPole-v1", "flag")


def parse(*arguments: str) -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=NamedValues)
    return parser.parse_args(arguments).params


def test_params_flag_parses_like_rl_zoo() -> None:
    assert parse("-params", "a:1", "b:dict(c='d:e')", "-params", "f:None", "a:1e-3") == {
        "a": 0.001,
        "b": {"c": "d:e"},
        "f": None,
    }
    assert parse() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=0.001", "write NAME:VALUE"),
        ("batch_size", "write NAME:VALUE"),
        ("batch_size:", "write NAME:VALUE"),
        (":3", "write NAME:VALUE"),
        ("learning_rate:abc", "name 'abc' is not defined"),
        ("gamma:1/0", "division by zero"),
        ("gamma:(", "was never closed"),
    ],
)
def test_params_flag_rejects_invalid_pairs(text: str, expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse("-params", "ok:1", text)
    assert f"-params {text}: " in str(caught.value)
    assert expected in str(caught.value)
