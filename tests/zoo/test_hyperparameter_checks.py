"""Hyperparameters are checked before anything is made of them: name, type and range of each."""

from __future__ import annotations

import argparse
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
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import CourseExperimentManager
from sb3_atari_course.zoo.hyperparameter_checks import (
    NamedValues,
    check_entry,
    check_env_kwargs,
)

register_algorithms()

BUFFER = {"replay_buffer_class": "get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')"}


def place(key: str) -> str:
    return f"x.yml: {key}: "


def check(algo: str = "dqn", **entry: Any) -> dict[str, Any]:
    """Check an entry that is fine but for the given keys; return it."""
    whole = {"policy": "MlpPolicy", "n_timesteps": 300, **entry}
    check_entry(whole, algo, place)
    return whole


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("1e3", "write 1000 "), ("9e-1", "write 0.9 "), ("1e-5", "write 1.0e-05 "), ("7", "write 7 ")],
)
@pytest.mark.parametrize(
    ("algo", "key"),
    [
        *(("dqn", key) for key in ["n_timesteps", "n_envs", "buffer_size", "learning_starts"]),
        *(("dqn", key) for key in ["batch_size", "gamma", "tau", "learning_rate", "train_freq"]),
        *(("dqn", key) for key in ["gradient_steps", "target_update_interval", "max_grad_norm"]),
        *(("dqn", key) for key in ["exploration_fraction", "exploration_final_eps"]),
        *(("fast_dqn", key) for key in ["n_steps", "frame_stack", "stats_window_size"]),
        *(("ppo", key) for key in ["clip_range", "clip_range_vf", "n_epochs", "gae_lambda"]),
        *(("q_learning", key) for key in ["gamma", "learning_rate", "exploration"]),
        *(("ars", "delta_std"), ("td3", "noise_std"), ("qrdqn", "max_grad_norm")),
    ],
)
def test_a_string_is_not_a_number(algo: str, key: str, text: str, remedy: str) -> None:
    policy = {"q_learning": "QTablePolicy"}.get(algo, "MlpPolicy")
    with pytest.raises(SettingError) as caught:
        check(algo, policy=policy, **{key: text})
    assert f"x.yml: {key}: {text!r} " in str(caught.value)
    assert remedy in str(caught.value)


def test_every_remedy_is_a_number_in_yaml() -> None:
    for text in ("1e3", "9e-1", "1e-5", "-2e-7", "1e300", "3.2e1"):
        with pytest.raises(SettingError) as caught:
            check(gamma=text)
        written = str(caught.value).split("write ")[1].split(" ")[0]
        assert yaml.safe_load(written) == float(text)


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("policy_kwargs", {"net_arch": [64, "1e2"]}, "policy_kwargs.net_arch: '1e2'"),
        ("policy_kwargs", "dict(net_arch=[64, '1e2'])", "policy_kwargs.net_arch: '1e2'"),
        ("replay_buffer_kwargs", {"n_steps": "1e1"}, "replay_buffer_kwargs.n_steps: '1e1'"),
        ("env_kwargs", {"gravity": "1e1"}, "env_kwargs.gravity: '1e1'"),
        ("train_freq", ["1e0", "step"], "train_freq: '1e0'"),
        ("ent_coef", "1e-2", "ent_coef: '1e-2'"),
        (
            "env_wrapper",
            [{"sb3_atari_course.wrappers.ActionRepeat": {"frame_skip": "4e0"}}],
            "ActionRepeat.frame_skip: '4e0'",
        ),
    ],
)
def test_numbers_inside_of_other_values(key: str, value: Any, where: str) -> None:
    with pytest.raises(SettingError, match="a dot and a sign") as caught:
        check("sac" if key == "ent_coef" else "dqn", **{key: value})
    assert where in str(caught.value)


def test_whole_floats_become_integers() -> None:
    entry = check(buffer_size=1.0e4, n_timesteps=1e6, train_freq=4.0, gamma=1, tau=1.0)
    for key, value in {"buffer_size": 10_000, "n_timesteps": 1_000_000, "train_freq": 4}.items():
        assert (entry[key], type(entry[key])) == (value, int)
    assert (type(entry["gamma"]), type(entry["tau"])) == (int, float)


@pytest.mark.parametrize(
    ("algo", "key", "value", "expected"),
    [
        ("qrdqn", "policy_kwargs", {"n_quantiles": 5.0}, {"n_quantiles": 5}),
        ("qrdqn", "policy_kwargs", "dict(n_quantiles=5.)", {"n_quantiles": 5}),
        ("dqn", "monitor_kwargs", {"info_keywords": ["a"]}, {"info_keywords": ("a",)}),
        (
            "dqn",
            "env_wrapper",
            [{"sb3_atari_course.wrappers.ActionRepeat": {"frame_skip": 4.0}}],
            [{"sb3_atari_course.wrappers.ActionRepeat": {"frame_skip": 4}}],
        ),
    ],
)
def test_whole_floats_and_tuples_inside_of_other_values(
    algo: str, key: str, value: Any, expected: Any
) -> None:
    assert repr(check(algo, **{key: value})[key]) == repr(expected)


@pytest.mark.parametrize(
    ("algo", "entry"),
    [
        ("dqn", {"learning_rate": "lin_1e-3"}),
        ("dqn", {"normalize": {"clip_obs": float("inf")}, "gradient_steps": 0}),
        ("dqn", {"policy_kwargs": "dict(net_arch=[], activation_fn=nn.ReLU)"}),
        ("dqn", {"replay_buffer_kwargs": {"handle_timeout_termination": False}, "n_steps": 3}),
        ("dqn", {"frame_stack": 1, "normalize": True}),
        ("ppo", {"frame_stack": 2, "normalize": True, "clip_range": "lin_0.2"}),
        ("ppo", {"policy_kwargs": {"net_arch": [{"pi": [8], "vf": [8]}]}, "clip_range_vf": -1}),
        ("dqn", {"train_freq": [1, "episode"], "gradient_steps": -1}),
        ("dqn", {"policy_kwargs": None, "env_wrapper": None, "frame_stack": None}),
        ("dqn", {"batch_size": np.int64(32), "optimize_memory_usage": np.True_}),
        ("dqn", {"env_kwargs": {"map_name": "8x8"}, "normalize": "dict(norm_reward=False)"}),
        ("fast_dqn", {"double_q": True, "n_steps": 3}),
        ("sac", {"ent_coef": "auto", "noise_type": None}),
        ("q_learning", {"policy": "QTablePolicy", "learning_rate": "visits"}),
        ("q_learning", {"policy": "QTablePolicy", "exploration": {"decay": 0.1}}),
        ("q_learning", {"policy": "QTablePolicy", "exploration": "lin_0.5"}),
    ],
)
def test_what_is_right_stays_as_it_is(algo: str, entry: dict[str, Any]) -> None:
    whole = check(algo, **entry)
    assert {key: whole[key] for key in entry} == entry


def test_entries_of_rl_zoo_and_ours_pass() -> None:
    files = {path.stem: path for path in (Path(rl_zoo3.__file__).parent / "hyperparams").iterdir()}
    contents = {algo: yaml.safe_load(files[algo].read_text()) for algo in ALGOS if algo in files}
    for algo in ("dqn", "qrdqn", "fast_dqn", "q_learning"):
        contents[f"{algo} of ours"] = load_hyperparams(algo)
    del contents["ppo_lstm"]["default"]  # its MlpPolicy is not one of RecurrentPPO's
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
    ("key", "value", "expected"),
    [
        ("learning_rat", 1, "did you mean learning_rate?"),
        ("n_stack", 4, "did you mean frame_stack?"),
        ("zzz", 4, "choose one of batch_size, buffer_size"),
        ("device", "cpu", "--device"),
        ("seed", 3, "--seed"),
        ("gradient_steps", "x", "'x' has to be an integer"),
        ("batch_size", 32.5, "32.5 has to be an integer"),
        ("batch_size", True, "True has to be an integer"),
        ("gamma", None, "None has to be a number"),
        ("optimize_memory_usage", "no", "'no' has to be True or False"),
        ("optimize_memory_usage", 0, "0 has to be True or False"),
        ("learning_rate", "lin_x", "'lin_x' has to be a number or a schedule such as lin_0.5"),
        ("learning_rate", [0.1], "[0.1] has to be a number"),
        ("normalize", "no", "name 'no' is not defined"),
        ("policy_kwargs", 3, "3 has to be"),
        ("policy_kwargs", {"net_arc": [4]}, "policy_kwargs.net_arc: [4] is not an argument of"),
        ("policy_kwargs", {"net_arch": "x"}, "policy_kwargs.net_arch: 'x' has to be a list"),
        ("policy_kwargs", "dict(net_arch=", "cannot be evaluated as Python"),
        ("replay_buffer_class", "nn.Module", "is not a ReplayBuffer"),
        ("env_kwargs", 3, "3 has to be a mapping or None"),
        ("policy", "MlpPolic", "choose one of MlpPolicy, CnnPolicy"),
        ("policy", "nowhere.Policy", "No module named 'nowhere'"),
        ("policy", None, "None has to be"),
        ("policy_kwargs", {"net_arch": 64}, "net_arch: 64 has to be a list"),
        ("policy_kwargs", {"net_arch": [64, "a"]}, "net_arch: 'a' is not a layer size"),
        ("policy_kwargs", {"net_arch": [True]}, "net_arch: True is not a layer size"),
        ("policy_kwargs", {"net_arch": [-1]}, "net_arch: -1 is not a layer size"),
        ("policy_kwargs", {"net_arch": [0]}, "net_arch: 0 is not a layer size"),
        ("policy_kwargs", {"net_arch": {"pi": [4]}}, "net_arch: {'pi': [4]} has to be a list"),
        ("policy_kwargs", {"activation_fn": "relu"}, '"dict(activation_fn=nn.ReLU)"'),
        ("policy_kwargs", {"features_extractor_class": "foo.Bar"}, "'foo.Bar' is a string"),
        ("policy_kwargs", {"lr_schedule": 1}, "lr_schedule: 1 has to be a schedule"),
        ("normalize", {"norm_rewar": True}, "did you mean norm_reward?"),
        ("normalize", "dict(norm_reward='no')", "norm_reward: 'no' has to be True or False"),
        ("normalize", {"gamma": 2}, "gamma: 2 has to be at most 1"),
        ("normalize", "3", "3 has to be a mapping"),
        ("monitor_kwargs", {"info_keyword": ()}, "did you mean info_keywords?"),
        ("monitor_kwargs", {"info_keywords": "a"}, "info_keywords: 'a' has to be a list"),
        (
            "replay_buffer_kwargs",
            {"handle_timeout_termination": "no"},
            "handle_timeout_termination: 'no' has to be True or False",
        ),
        ("replay_buffer_kwargs", {"gamma": 0.9}, "gamma: 0.9 is not an argument of ReplayBuffer"),
        ("train_freq", [4], "[4] has to be a pair"),
        ("callback", 3, "3 has to be a dotted path"),
        ("policy_kwargs", {"net_arch": [8.0]}, "net_arch: 8.0 is not a layer size"),
        *(
            (key, 1.5, "1.5 has to be at most 1")
            for key in ["gamma", "tau", "exploration_fraction"]
        ),
        *((key, -0.5, "-0.5 has to be at least 0") for key in ["max_grad_norm", "gamma"]),
        ("exploration_final_eps", 2, "2 has to be at most 1"),
        ("gradient_steps", -2, "-2 has to be at least -1"),
        ("learning_rate", "lin_-1", "'lin_-1' has to be a number or a schedule"),
        *(
            (key, value, f"{value} has to be a finite number")
            for key in ["gamma", "learning_rate", "buffer_size", "gradient_steps"]
            for value in [float("nan"), float("inf"), -float("inf")]
        ),
        ("noise_type", "normal", "needs a noise_std"),
        ("env_wrapper", 3, "3 has to be a dotted path"),
        ("env_wrapper", "ClipReward", "'ClipReward' has to be a dotted path"),
        ("env_wrapper", "nowhere.ClipReward", "No module named 'nowhere'"),
        ("env_wrapper", "sb3_atari_course.wrappers.ClipRewar", "did you mean ClipReward?"),
        ("env_wrapper", [{"sb3_atari_course.wrappers.ClipReward": 3}], "ClipReward: 3 has to be a"),
        (
            "env_wrapper",
            [{"sb3_atari_course.wrappers.ClipReward": None}],
            "ClipReward: None has to",
        ),
        (
            "env_wrapper",
            [{"sb3_atari_course.wrappers.ActionRepeat": {"frame_skipp": 4}}],
            "did you mean frame_skip?",
        ),
        (
            "env_wrapper",
            [{"sb3_atari_course.wrappers.ActionRepeat": {"max_pool": "no"}}],
            "max_pool: 'no' has to be True or False",
        ),
        (
            "callback",
            [{"sb3_atari_course.checkpoints.ExactCheckpoint": {"everyy": 4}}],
            "did you mean every?",
        ),
        *((key, 0, "0 has to be at least 1") for key in ["n_envs", "buffer_size", "batch_size"]),
        *((key, -1, "has to be at least 1") for key in ["train_freq", "n_steps", "frame_stack"]),
        ("train_freq", [0, "step"], "[0, 'step'] has to be at least 1"),
        ("learning_starts", -1, "has to be at least 0"),
        ("learning_rate", -0.1, "-0.1 has to be at least 0"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        check(**{key: value})
    assert str(caught.value).startswith(f"x.yml: {key}")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("algo", "entry", "expected"),
    [
        ("dqn", {"normalize": True, "frame_stack": 2}, "normalize: True does not go together"),
        ("dqn", {"replay_buffer_kwargs": {"gamma": "0.9"}, "n_steps": 3}, "gamma: '0.9' has to be"),
        (
            "dqn",
            {**BUFFER, "replay_buffer_kwargs": {"n_steps": 3, "gamma": 0.9}},
            "x.yml: replay_buffer_kwargs.gamma: 0.9 is not the algorithm's gamma: 0.99",
        ),
        (
            "qrdqn",
            {**BUFFER, "replay_buffer_kwargs": "dict(n_steps=3)", "gamma": 0.9},
            "replay_buffer_kwargs.gamma: 0.99 is not the algorithm's gamma: 0.9",
        ),
        ("ppo", {"policy_kwargs": {"net_arch": {"pi": [64], "vf": ["64"]}}}, "net_arch.vf: '64'"),
        ("ppo", {"replay_buffer_kwargs": {}}, "replay_buffer_kwargs: {} is not known to ppo"),
        ("ppo", {"clip_range": 0}, "clip_range: 0 has to be above 0"),
        ("ppo", {"gae_lambda": 1.1}, "gae_lambda: 1.1 has to be at most 1"),
    ],
)
def test_what_is_wrong_with_an_algorithm_is_named(
    algo: str, entry: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SettingError) as caught:
        check(algo, **entry)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"replay_buffer_kwargs": {"n_steps": 3, "gamma": None}}, 0.99),
        ({"replay_buffer_kwargs": {"n_steps": 3, "gamma": None}, "gamma": 0.9}, 0.9),
        ({"replay_buffer_kwargs": "dict(n_steps=3, gamma=None)", "gamma": 0.9}, 0.9),
        ({"replay_buffer_kwargs": {"gamma": None}, "gamma": 0.9}, None),  # it does not discount
        ({"replay_buffer_kwargs": {"n_steps": 1, "gamma": 0.5}, "gamma": 0.9}, 0.5),
    ],
)
def test_no_gamma_of_the_replay_buffer_is_that_of_the_algorithm(
    entry: dict[str, Any], expected: float | None
) -> None:
    assert check("dqn", **BUFFER, **entry)["replay_buffer_kwargs"]["gamma"] == expected


def test_sticky_actions_have_a_probability() -> None:
    with pytest.raises(SettingError, match="repeat_action_probability: 7 has to be at most 1"):
        check_env_kwargs({"repeat_action_probability": 7}, "BreakoutNoFrameskip-v4", place)


def test_a_missing_policy_is_named() -> None:
    with pytest.raises(SettingError, match="policy: is missing: add one of MlpPolicy, CnnPolicy"):
        check_entry({"n_timesteps": 3}, "dqn", place)


def test_an_error_inside_of_a_users_module_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken_wrappers.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        check(env_wrapper="my_broken_wrappers.Mine")


def read(config: str, env_id: str = "CartPole-v1") -> dict[str, Any]:
    """Read hyperparameters as our launcher does."""
    register_envs()
    manager = CourseExperimentManager(argparse.Namespace(), "dqn", env_id, "", config=config)
    return dict(manager.read_hyperparameters()[0])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "has to hold a mapping of environments"),
        ("[1]", "has to hold a mapping of environments"),
        ("CartPole-v1:", "has to hold a mapping of environments"),
        ("CartPole-v1: [policy]", "has to hold a mapping of environments"),
        ("CartPole-v1: {1: 2}", "1: 2 is not known to dqn"),
        ("default: x", "has to hold a mapping of environments"),
        ("Pendulum-v1: {}", "no entry 'default', and none for CartPole-v1: add one"),
        ("a: [", "line 1"),
        ("\0", "cannot be read"),
    ],
)
def test_a_yml_without_an_entry(content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(content)
    with pytest.raises(SettingError) as caught:
        read(str(path))
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (".", "cannot be read"),
        ("folder.yml", "Is a directory"),
        ("nowhere.yml", "No such file"),
        ("nowhere.py", "No such file"),
        ("nowhere", "No module named 'nowhere'"),
        ("os", "no attribute 'hyperparams'"),
        ("empty.py", "empty.py: 'hyperparams'"),
        ("damaged.py", "never closed"),
        ("damaged", "never closed"),
        ("hyperparams/dqn_laptop.yml", "-conf sb3_atari_course.hyperparams.dqn_laptop"),
        ("hyperparams/fast_dqn", "-conf sb3_atari_course.hyperparams.fast_dqn"),
    ],
)
def test_a_file_that_is_not_there(
    config: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "damaged.py").write_text("hyperparams = {\n")
    (tmp_path / "folder.yml").mkdir()
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(SettingError) as caught:
        read(config)
    assert f"-conf {config}" in str(caught.value)
    assert expected in str(caught.value)


def test_a_config_that_is_fine(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = {'policy': 'MlpPolicy'}\nhyperparams = {'atari': a}\n")
    for config in (f"{tmp_path}/x.py", "sb3_atari_course.hyperparams.dqn"):
        assert "policy" in read(config, "PongNoFrameskip-v4")


def test_an_error_of_a_config_itself_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("hyperparams = {}['CartPole-v1']\n")
    with pytest.raises(KeyError, match="CartPole-v1"):
        read(f"{tmp_path}/x.py")


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"sutton_barto_rewar": True}, "did you mean sutton_barto_reward?"),
        ({"sutton_barto_reward": "yes"}, "'yes' has to be True or False"),
        ({"render_mode": 3}, "3 has to be a string or None"),
        ({"max_episode_steps": "1e3"}, "write 1000"),
    ],
)
def test_arguments_of_an_environment(kwargs: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_env_kwargs(kwargs, "CartPole-v1", lambda name: f"--env-kwargs {name}:")
    ((name, value),) = kwargs.items()
    assert f"--env-kwargs {name}:{value!r}" in str(caught.value)
    assert expected in str(caught.value)


def test_an_environment_may_take_any_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gym.envs.registration.EnvSpec("Any-v0", entry_point=lambda **kwargs: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setitem(gym.registry, "Any-v0", spec)
    check_env_kwargs({"anything": 3, "max_episode_steps": 9}, "Any-v0", place)
    check_env_kwargs(None, "CartPole-v1", place)


def parse(*words: str) -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=NamedValues)
    return parser.parse_args(words).params


def test_values_are_those_of_rl_zoo() -> None:
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
        ("learning_rate:lin_1e-3", "strings in quotes"),
        ("map_name:8x8", "strings in quotes"),
        ("batch_size", "write NAME:VALUE"),
        ("batch_size:", "write NAME:VALUE"),
        (":3", "write NAME:VALUE"),
        ("learning_rate:abc", "name 'abc' is not defined"),
        ("policy:CnnPolicy", "strings in quotes"),
        ("gamma:1/0", "division by zero"),
        ("gamma:(", "was never closed"),
    ],
)
def test_a_value_that_is_none(text: str, expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse("-params", "ok:1", text)
    assert f"-params {text}: " in str(caught.value)
    assert expected in str(caught.value)
