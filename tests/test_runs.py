"""A run folder of RL Zoo."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from sb3_atari_course import evaluate_games
from sb3_atari_course.runs import find_run


def make_run(folder: Path, hyperparams: object, args: object, *, number: int = 1) -> None:
    settings = folder / f"dqn/CartPole-v1_{number}/CartPole-v1"
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(yaml.dump(hyperparams))
    (settings / "args.yml").write_text(yaml.dump(args))
    (settings.parent / "CartPole-v1.zip").touch()


def test_what_rl_zoo_wrote_is_read(tmp_path: Path) -> None:
    hyperparams = OrderedDict(policy="MlpPolicy", train_freq=(4, "step"), env_kwargs={"a": 1})
    make_run(tmp_path, hyperparams, OrderedDict(algo="dqn", env_kwargs=None))
    run = find_run("dqn", "CartPole-v1", tmp_path)
    assert run.hyperparams == hyperparams
    assert run.env_kwargs == {"a": 1}
    assert run.model_path == tmp_path / "dqn/CartPole-v1_1/CartPole-v1.zip"


def test_classes_in_a_yml_are_words(tmp_path: Path) -> None:
    make_run(tmp_path, {"policy_kwargs": {"optimizer_class": torch.optim.Adam}}, {})
    run = find_run("dqn", "CartPole-v1", tmp_path)
    assert run.hyperparams == {"policy_kwargs": {"optimizer_class": "torch.optim.adam.Adam"}}


def test_a_model_of_several_steps_of_reward_is_loaded_without_a_warning(tmp_path: Path) -> None:
    """SB3 warns that a buffer class ignores n_steps, even if it is its own choice for them."""
    make_run(tmp_path, {}, {})
    run = find_run("dqn", "CartPole-v1", tmp_path)
    DQN("MlpPolicy", "CartPole-v1", n_steps=3, buffer_size=10).save(run.model_path)
    assert isinstance(run.load_model(), DQN)


def test_env_kwargs_of_the_command_line_win(tmp_path: Path) -> None:
    make_run(tmp_path, OrderedDict(env_kwargs={"a": 1}), OrderedDict(env_kwargs={"a": 2}))
    assert find_run("dqn", "CartPole-v1", tmp_path).env_kwargs == {"a": 2}


def test_no_code_in_a_yml_is_run(tmp_path: Path) -> None:
    make_run(tmp_path, {}, {})
    config = tmp_path / "dqn/CartPole-v1_1/CartPole-v1/config.yml"
    canary = tmp_path / "canary"
    config.write_text(f"!!python/object/apply:os.mkdir ['{canary}']")
    with pytest.raises(ValueError, match=r"config\.yml.*could not determine a constructor"):
        find_run("dqn", "CartPole-v1", tmp_path)
    assert not canary.exists()
    yaml.load(config.read_text(), Loader=yaml.UnsafeLoader)
    assert canary.exists()  # so the test can see it


def test_what_evaluate_cannot_do_is_said(tmp_path: Path) -> None:
    make_run(tmp_path, {"vec_env_wrapper": "my.Wrapper"}, {})
    with pytest.raises(ValueError, match=r"my\.Wrapper"):
        find_run("dqn", "CartPole-v1", tmp_path).env_wrapper()
    make_run(tmp_path, {"normalize": True}, {}, number=2)
    with pytest.raises(ValueError, match=r"CartPole-v1_2/CartPole-v1/vecnormalize\.pkl is missing"):
        find_run("dqn", "CartPole-v1", tmp_path).env_wrapper()


def test_a_run_is_scored_with_what_stood_around_its_environments(tmp_path: Path) -> None:
    """RL Zoo's normalize, frame_stack of vectors, and a TimeLimit in env_wrapper."""
    limit = {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 7}}
    make_run(tmp_path, {"normalize": True, "frame_stack": 2, "env_wrapper": [limit]}, {})
    run = find_run("dqn", "CartPole-v1", tmp_path)
    venv = VecFrameStack(VecNormalize(make_vec_env("CartPole-v1", 2, seed=0)), 2)
    model = DQN("MlpPolicy", venv, buffer_size=10, seed=0)
    venv.reset()
    for _ in range(20):
        venv.step(np.array([0, 1]))
    model.save(run.model_path)
    statistics = model.get_vec_normalize_env()
    assert statistics is not None
    statistics.save(str(run.settings / "vecnormalize.pkl"))
    report = run.evaluate(seed=0, n_games=3)
    assert report.lengths == (7, 7, 7)
    assert report.protocol["max_steps"] == 7
    expected = evaluate_games(model, "CartPole-v1", n_games=3, seed=0, epsilon=0.0)
    assert run.evaluate(seed=0, n_games=3, max_frames=5).lengths == (5, 5, 5)
    whole = replace(run, hyperparams={**run.hyperparams, "env_wrapper": None})
    assert whole.evaluate(seed=0, n_games=3).scores == expected.scores


def test_a_run_without_a_model_is_passed_over(tmp_path: Path) -> None:
    """A tuning, or a training that failed."""
    for number in (1, 2, 3):
        make_run(tmp_path, {}, {}, number=number)
    (tmp_path / "dqn/CartPole-v1_3/CartPole-v1.zip").unlink()
    assert find_run("dqn", "CartPole-v1", tmp_path).folder.name == "CartPole-v1_2"
    with pytest.raises(ValueError, match=r"No model found .*CartPole-v1_3.*train first, or"):
        find_run("dqn", "CartPole-v1", tmp_path, exp_id=3)


def test_a_missing_run_or_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dqn folder was not found: train first"):
        find_run("dqn", "CartPole-v1", tmp_path)
    make_run(tmp_path, {}, {})
    with pytest.raises(ValueError, match=r"No model found .*best_model.*first with evaluations"):
        find_run("dqn", "CartPole-v1", tmp_path, load_best=True)
    with pytest.raises(ValueError, match=r"unknown algo 'alphago': one of a2c"):
        find_run("alphago", "CartPole-v1", tmp_path)
