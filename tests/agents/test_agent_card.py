"""Model cards (card.json)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC
from torch import nn

from sb3_atari_course import AtariCNN, AtariCnnPolicy
from sb3_atari_course.agents import AgentFileError, load_agent, read_card, write_card
from sb3_atari_course.agents.agent_card import read_policy_kwargs, read_space, write_space
from tests.agents.test_loading import BUTTONS, ENV, SCREEN, SMALL, VECTOR, Spaces


def make_model(**kwargs: Any) -> DQN:
    return DQN("MlpPolicy", ENV, buffer_size=9, policy_kwargs=dict(SMALL), **kwargs)


def test_model_card_describes_the_model(tmp_path: Path) -> None:
    kwargs = {
        "dueling": True,
        "net_arch": [16],
        "features_extractor_kwargs": {"activation_fn": nn.Tanh},
        "features_extractor_class": AtariCNN,
        "optimizer_kwargs": {"eps": 1e-3},
    }
    env = Spaces(SCREEN, BUTTONS)
    model = DQN(AtariCnnPolicy, env, buffer_size=9, policy_kwargs=kwargs, device="cpu")
    model.exploration_rate = 0.125
    model.save(tmp_path / "Screen-v0.zip")
    content = (tmp_path / "Screen-v0.zip").read_bytes()
    assert write_card(tmp_path, model, env_id="Screen-v0", score=3.5) == tmp_path / "card.json"
    assert read_card(tmp_path) == {
        "format": 1,
        "algorithm": "dqn",
        "env_id": "Screen-v0",
        "policy": "sb3_atari_course.policies.AtariCnnPolicy",
        "policy_kwargs": {
            "dueling": True,
            "net_arch": [16],
            "features_extractor_kwargs": {"activation_fn": "torch.nn.modules.activation.Tanh"},
            "features_extractor_class": "sb3_atari_course.policies.AtariCNN",
        },
        "observation_space": {
            "type": "Box",
            "shape": [2, 40, 44],
            "dtype": "uint8",
            "low": 0,
            "high": 255,
        },
        "action_space": {"type": "Discrete", "n": 3, "start": 0},
        "exploration_rate": 0.125,
        "files": {
            "Screen-v0.zip": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        },
        "score": 3.5,
    }
    loaded = load_agent(tmp_path)
    assert isinstance(loaded.policy.q_net.features_extractor.cnn[1], nn.Tanh)


def test_model_card_lists_all_zips_of_a_folder(tmp_path: Path) -> None:
    model = make_model()
    for name in ("best.zip", "last.zip"):
        model.save(tmp_path / name)
    write_card(tmp_path, model)
    assert list(read_card(tmp_path)["files"]) == ["best.zip", "last.zip"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "best.zip",
        "card.json",
        "last.zip",
    ]
    model.save(tmp_path / "new.zip")
    with pytest.raises(AgentFileError, match=r"\['best.zip', 'last.zip'\].*write_card"):
        load_agent(tmp_path / "new.zip", ENV)
    load_agent(tmp_path / "best.zip", ENV)


def test_rejects_file_with_another_sha256(tmp_path: Path) -> None:
    model = make_model(seed=1)
    model.save(tmp_path / "a.zip")
    write_card(tmp_path, model)
    make_model(seed=2).save(tmp_path / "a.zip")
    with pytest.raises(AgentFileError, match="SHA-256"):
        load_agent(tmp_path, ENV)


def test_rejects_env_with_other_spaces_than_the_model_card(tmp_path: Path) -> None:
    """Wider action bounds rescale SAC's actions without changing a shape."""
    narrow, wide = (spaces.Box(-one, one, (2,), np.float32) for one in (1, 2))
    model = SAC("MlpPolicy", Spaces(VECTOR, narrow), device="cpu", buffer_size=1)
    model.save(tmp_path / "a.zip")
    write_card(tmp_path, model)
    load_agent(tmp_path, Spaces(VECTOR, narrow))
    with pytest.raises(AgentFileError, match="action_space"):
        load_agent(tmp_path, Spaces(VECTOR, wide))


def test_rejects_invalid_model_card(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "a.zip")
    good = json.loads(write_card(tmp_path, model).read_text())
    for wrong, match in (
        ({"format": 2}, "format.* 2"),
        ({"algorithm": "os.system"}, r"algorithm.*os\.system"),
        ({"policy": "os.system"}, r"policy.*os\.system"),
        ({"policy": "sb3_atari_course.policies.AtariQuantileCnnPolicy"}, "policy.*Quantile"),
        ({"policy_kwargs": {"activation_fn": "os.system"}}, "activation_fn='os.system'"),
        ({"exploration_rate": 2}, "0 to 1"),
        ({"files": {"../a.zip": good["files"]["a.zip"]}}, r"\.\./a\.zip"),
    ):
        (tmp_path / "card.json").write_text(json.dumps({**good, **wrong}))
        with pytest.raises(AgentFileError, match=match):
            read_card(tmp_path / "card.json")
    with pytest.raises(FileNotFoundError):
        read_card(tmp_path / "nothing")


def test_indescribable_model_writes_no_model_card(tmp_path: Path) -> None:
    class Mine(nn.ReLU):
        pass

    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        write_card(tmp_path, make_model())
    model = DQN("MlpPolicy", ENV, buffer_size=9, policy_kwargs={"activation_fn": Mine})
    model.save(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="Mine"):
        write_card(tmp_path, model)
    with pytest.raises(ValueError, match=r"\['policy'\]"):
        write_card(tmp_path, make_model(), policy="MlpPolicy")
    with pytest.raises(TypeError, match="JSON"):
        write_card(tmp_path, make_model(), score=Mine)
    assert not (tmp_path / "card.json").exists()


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5, start=-2),
        spaces.Box(0, 255, (4, 84, 84), np.uint8),
        spaces.Box(-np.inf, np.inf, (3,), np.float64),
        spaces.Box(np.array([-4.8, -np.inf], np.float32), np.array([4.8, 3e38], np.float32)),
        spaces.Box(-5, 9, (), np.int64),
    ],
    ids=str,
)
def test_spaces_round_trip_through_json(space: spaces.Space[Any]) -> None:
    assert read_space(json.loads(json.dumps(write_space(space)))) == space


def test_model_card_without_spaces_requires_env(tmp_path: Path) -> None:
    actions = spaces.MultiDiscrete([3, 2])
    model = PPO("MlpPolicy", Spaces(VECTOR, actions), device="cpu")
    model.save(tmp_path / "a.zip")
    write_card(tmp_path, model)
    assert "action_space" not in read_card(tmp_path)
    assert load_agent(tmp_path, Spaces(VECTOR, actions)).action_space == actions
    with pytest.raises(AgentFileError, match="pass env="):
        load_agent(tmp_path)


BOX = {"type": "Box", "shape": [2], "dtype": "uint8", "low": 0, "high": 255}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"type": "Text"},
        {"type": "Discrete", "n": 0},
        {"type": "Discrete", "n": True},
        {**BOX, "high": 256},
        {**BOX, "low": -1},
        {**BOX, "low": None},
        {**BOX, "low": [0, 0, 0]},
        {**BOX, "low": "0"},
        {**BOX, "shape": [2**12, 2**12]},
        {**BOX, "shape": [1] * 9},
        {**BOX, "dtype": "object"},
    ],
    ids=str,
)
def test_rejects_invalid_spaces(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_space(wrong)


def test_policy_kwargs_resolve_classes_and_drop_the_optimizer() -> None:
    kwargs = read_policy_kwargs(
        {
            ":type:": "<class 'dict'>",
            ":serialized:": "gASV",
            "activation_fn": "<class 'torch.nn.modules.activation.ELU'>",
            "net_arch": {"pi": [8], "vf": [4]},
            "optimizer_class": "<class 'mine.Optimiser'>",
            "optimizer_kwargs": {"eps": 1},
        }
    )
    assert kwargs == {"activation_fn": nn.ELU, "net_arch": {"pi": [8], "vf": [4]}}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"net_arch": [1] * 400},
        {"n_critics": 65},
        {"n_lstm_layers": 65},
        {"features_extractor_class": "torch.nn.Tanh"},
        {"activation_fn": "os.system"},
        {"dueling": "yes"},
    ],
    ids=str,
)
def test_rejects_unknown_classes_and_large_policy_kwargs(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"policy_kwargs"):
        read_policy_kwargs(kwargs)


def test_policy_kwargs_within_bounds_are_kept() -> None:
    kwargs = {"net_arch": [2**20], "n_critics": 64, "log_std_init": -3.5, "dueling": True}
    assert read_policy_kwargs(kwargs) == kwargs
