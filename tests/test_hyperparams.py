"""Hyperparameter files: complete, consistent, loadable from any folder."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from gymnasium import spaces
from rl_zoo3.utils import ALGOS, get_class_by_name, get_wrapper_class
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams
from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.zoo.algorithms import register_algorithms

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "hyperparams").glob("*.yml"))
ENTRIES = [
    (path.stem, env_id)
    for path in FILES
    if path.stem != "q_learning"  # trained in q_learning/test_yml.py
    for env_id in load_hyperparams(path.stem)
]
GAMES = ["atari", "BreakoutNoFrameskip-v4", "BreakoutDeterministic-v4"]
SMALL_ENVS = ["CartPole-v1", "MountainCar-v0", "LunarLander-v3", "Pendulum-v1"]


@pytest.mark.parametrize(
    ("algo", "env_ids"),
    [("dqn", GAMES + SMALL_ENVS), ("qrdqn", GAMES + SMALL_ENVS), ("fast_dqn", GAMES)],
)
def test_files_have_entries_for_all_environments(algo: str, env_ids: list[str]) -> None:
    assert list(load_hyperparams(algo)) == env_ids


@pytest.mark.parametrize(("algo", "env_id"), ENTRIES)
def test_every_entry_builds_a_model(algo: str, env_id: str) -> None:
    """Environment, wrappers, policy and keyword arguments, combined as in RL Zoo."""
    hyperparams = dict(load_hyperparams(algo)[env_id])
    game = "PongNoFrameskip-v4" if env_id == "atari" else env_id
    wrap = get_wrapper_class(hyperparams) or (lambda env: env)
    env: Any = DummyVecEnv([lambda: wrap(gym.make(game))])
    if "frame_stack" in hyperparams:
        env = VecFrameStack(env, hyperparams["frame_stack"])
    for key in ("env_wrapper", "frame_stack", "n_timesteps", "n_envs"):
        hyperparams.pop(key, None)
    side = 42 if algo.endswith("_laptop") else 84
    if "." in hyperparams["policy"]:
        hyperparams["policy"] = get_class_by_name(hyperparams["policy"])
        env = VecTransposeImage(env)
        assert env.observation_space == spaces.Box(0, 255, (4, side, side), "uint8")
    if str(hyperparams["learning_rate"]).startswith("lin_"):
        hyperparams["learning_rate"] = float(hyperparams["learning_rate"][4:])
    assert isinstance(hyperparams["learning_rate"], float)  # 1e-4 would be a string in YAML
    if "replay_buffer_class" in hyperparams:
        # as in RL Zoo, without names of ours in scope
        hyperparams["replay_buffer_class"] = eval(
            hyperparams["replay_buffer_class"], {"get_class_by_name": get_class_by_name}
        )
    register_algorithms()
    model = ALGOS[algo.removesuffix("_laptop")](env=env, **{**hyperparams, "buffer_size": 10})
    assert model.gamma == hyperparams["gamma"]
    if "." in load_hyperparams(algo)[env_id]["policy"]:  # an Atari game
        assert isinstance(model.replay_buffer, FrameReplayBuffer)
        assert model.replay_buffer.n_steps == 1 or model.replay_buffer.gamma == model.gamma


def test_fast_dqn_yml_has_the_values_of_dqn_yml() -> None:
    """Except for n_envs, train_freq and gradient_steps (same ratio), buffer kwargs and compile."""
    for env_id, ours in load_hyperparams("fast_dqn").items():
        theirs = load_hyperparams("dqn")[env_id]
        ratio = ours.pop("n_envs", 1) * ours.pop("train_freq") / ours.pop("gradient_steps")
        assert ratio == theirs.pop("train_freq") / theirs.pop("gradient_steps")
        for hyperparams in (ours, theirs):
            for key in ("replay_buffer_kwargs", "compile"):
                hyperparams.pop(key, None)
        assert ours == theirs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_has_a_comment(path: Path) -> None:
    for line in path.read_text().splitlines():
        is_value = ":" in line and not line.rstrip().endswith(":") and not line.startswith("#")
        if is_value and "policy: " not in line:
            assert "# " in line, line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_has_a_module_for_conf(path: Path) -> None:
    module = importlib.import_module(f"sb3_atari_course.hyperparams.{path.stem}")
    assert module.hyperparams == yaml.safe_load(path.read_text())
    env_id = next(iter(module.hyperparams))
    module.hyperparams[env_id].clear()  # RL Zoo mutates it
    assert module.hyperparams[env_id]
    with pytest.raises(AttributeError, match="has no attribute 'hyperparameters'"):
        _ = module.hyperparameters


def test_unknown_algo_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"'sac'.*\['dqn'"):
        hyperparams_file("sac")
