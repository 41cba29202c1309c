"""Loading agents: predictions, exploration, arguments, errors."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from sb3_atari_course import AtariCNN, AtariCnnPolicy, AtariQuantileCnnPolicy, FastDQN, QLearning
from sb3_atari_course.agents import AgentFileError, load_agent, write_card
from sb3_atari_course.agents.agent_card import algorithms
from tests.agents.zips_and_pickles import pack, unpack

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
SCREEN = spaces.Box(0, 255, (40, 44, 2), np.uint8)
BUTTONS = spaces.Discrete(3)
PEDALS = spaces.Box(-2, 2, (2,), np.float32)
STATES = spaces.Discrete(6)


class Spaces(gym.Env[Any, Any]):
    """Environment with spaces only, which must not be reset or stepped."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, **kwargs: Any) -> Any:
        raise AssertionError("the env was reset")

    def step(self, action: Any) -> Any:
        raise AssertionError("the env was stepped")


def save(cls: type[BaseAlgorithm], policy: Any, env: Any, path: Path, **kwargs: Any) -> Any:
    """Save and return a model with random weights whose actions are not all equal."""
    if issubclass(cls, OffPolicyAlgorithm):
        kwargs["buffer_size"] = 9
    model: Any = cls(policy, env, device="cpu", **copy.deepcopy(kwargs))  # SB3 mutates them
    obs = observations(env.observation_space)
    for seed in range(100):
        generator = th.Generator().manual_seed(seed)
        for tensor in model.policy.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.2 * th.randn(tensor.shape, generator=generator))
        if len(np.unique(model.predict(obs, deterministic=True)[0], axis=0)) > 1:
            break
    else:
        raise AssertionError("all actions are equal")
    model.save(path)
    return model


def observations(space: spaces.Space[Any]) -> Any:
    """Return 64 random observations."""
    space.seed(3)
    return np.array([space.sample() for _ in range(64)])


SMALL = {"net_arch": [8]}
OUR_CNN = {"features_extractor_class": AtariCNN}
#: name -> policy, observations, actions, further settings.
AGENTS: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "dqn": ("MlpPolicy", VECTOR, BUTTONS, {"policy_kwargs": SMALL}),
    "dqn cnn": ("CnnPolicy", SCREEN, BUTTONS, {}),
    "fast_dqn": (AtariCnnPolicy, SCREEN, BUTTONS, {"policy_kwargs": {"dueling": True}}),
    "qrdqn": ("MlpPolicy", VECTOR, BUTTONS, {"policy_kwargs": {**SMALL, "n_quantiles": 7}}),
    "qrdqn cnn": (AtariQuantileCnnPolicy, SCREEN, BUTTONS, {}),
    "q_learning": ("QTablePolicy", STATES, BUTTONS, {}),
    "ppo": ("MlpPolicy", VECTOR, BUTTONS, {"policy_kwargs": {"activation_fn": nn.ELU}}),
    "ppo cnn": ("CnnPolicy", SCREEN, BUTTONS, {"policy_kwargs": OUR_CNN}),
    "ppo sde": ("MlpPolicy", VECTOR, PEDALS, {"use_sde": True}),
    "a2c": ("MlpPolicy", VECTOR, PEDALS, {}),
    "sac": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL}),
    "sac sde": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL, "use_sde": True}),
    "td3": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL}),
    "ddpg": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL}),
    "tqc": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL}),
    "crossq": ("MlpPolicy", VECTOR, PEDALS, {"policy_kwargs": SMALL}),
    "trpo": ("MlpPolicy", VECTOR, BUTTONS, {}),
    "ars": ("MlpPolicy", VECTOR, BUTTONS, {}),
    "ppo_lstm": ("MlpLstmPolicy", VECTOR, BUTTONS, {"policy_kwargs": {"lstm_hidden_size": 8}}),
}  # fmt: skip


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("with_card", [False, True], ids=["alone", "with card"])
def test_predicts_like_a_model_of_sb3s_load(name: str, with_card: bool, tmp_path: Path) -> None:
    policy, observation_space, action_space, kwargs = AGENTS[name]
    cls, path = algorithms()[name.split()[0]], tmp_path / "agent.zip"
    model = save(cls, policy, Spaces(observation_space, action_space), path, **kwargs)
    if with_card:
        write_card(tmp_path, model)
    asked = name.split()[0]
    is_guessed = with_card or asked in ("dqn", "fast_dqn", "qrdqn", "q_learning")
    env = None if with_card else Spaces(observation_space, action_space)
    loaded = load_agent(path, env, algorithm=None if is_guessed else asked, device="cpu")
    theirs = cls.load(path, device="cpu")
    obs = observations(observation_space)
    expected = theirs.predict(obs, deterministic=True)[0]
    assert len(np.unique(expected, axis=0)) > 1
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    if with_card:
        assert type(loaded) is cls
        assert type(loaded.policy) is type(model.policy)
    state = model.policy.state_dict()
    assert all(th.equal(one, state[key]) for key, one in loaded.policy.state_dict().items())


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    save(DQN, "MlpPolicy", Spaces(VECTOR, BUTTONS), tmp_path / "a.zip", policy_kwargs=dict(SMALL))
    return tmp_path / "a.zip"


ENV = Spaces(VECTOR, BUTTONS)


def test_images_are_transposed_as_in_sb3(tmp_path: Path) -> None:
    save(DQN, "CnnPolicy", Spaces(SCREEN, BUTTONS), tmp_path / "a.zip")
    venv = DummyVecEnv([lambda: Spaces(SCREEN, BUTTONS)] * 2)
    model = load_agent(tmp_path / "a", venv, device="cpu")
    assert model.observation_space.shape == (2, 40, 44)
    assert model.get_env().observation_space.shape == (2, 40, 44)
    assert model.n_envs == 2


def test_vec_normalize_is_that_of_the_env(agent: Path) -> None:
    venv = VecNormalize(DummyVecEnv([lambda: ENV]))
    assert load_agent(agent, venv).get_vec_normalize_env() is venv


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 1.0])
def test_exploration_rate_is_that_of_the_saved_model(epsilon: float, tmp_path: Path) -> None:
    model = DQN("MlpPolicy", ENV, buffer_size=9)
    model.exploration_rate = epsilon
    model.save(tmp_path / "a.zip")
    assert load_agent(tmp_path, ENV).exploration_rate == epsilon
    assert DQN.load(tmp_path / "a.zip").exploration_rate == epsilon
    members = unpack((tmp_path / "a.zip").read_bytes())
    del members["data"]
    (tmp_path / "a.zip").write_bytes(pack(members))
    assert load_agent(tmp_path, ENV).exploration_rate == 0.0
    write_card(tmp_path, model)
    assert load_agent(tmp_path, ENV).exploration_rate == epsilon


def test_q_learning_exploration_rate_is_restored(tmp_path: Path) -> None:
    """The constructor of QLearning sets it to 1."""
    model = QLearning("QTablePolicy", Spaces(STATES, BUTTONS))
    model.exploration_rate = 0.25
    model.save(tmp_path / "a.zip")
    assert load_agent(tmp_path, Spaces(STATES, BUTTONS)).exploration_rate == 0.25


def test_replay_buffer_is_minimal_by_default(agent: Path) -> None:
    assert load_agent(agent, ENV).replay_buffer.buffer_size == 1
    assert load_agent(agent, ENV, buffer_size=50).replay_buffer.buffer_size == 50


def test_global_random_states_are_unchanged(agent: Path) -> None:
    def random_states() -> tuple[Any, ...]:
        return th.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = random_states()
    load_agent(agent, ENV)
    assert random_states() == before


def test_accepts_policy_and_algorithm_arguments(agent: Path) -> None:
    for algorithm in ("fast_dqn", FastDQN):
        model = load_agent(
            agent, ENV, algorithm=algorithm, policy="MlpPolicy", policy_kwargs=dict(SMALL)
        )
        assert type(model) is FastDQN
    with pytest.raises(ValueError, match="algorithm must be one of"):
        load_agent(agent, ENV, algorithm="os")
    with pytest.raises(ValueError, match="policy must be one of"):
        load_agent(agent, ENV, policy="os.system")
    with pytest.raises(TypeError, match="policy_kwargs must be a mapping"):
        load_agent(agent, ENV, policy_kwargs=[])
    with pytest.raises(ValueError, match="cuda:77"):
        load_agent(agent, ENV, device="cuda:77")


def test_mismatch_error_has_both_shapes(agent: Path) -> None:
    wider = Spaces(spaces.Box(-1, 1, (5,), np.float32), BUTTONS)
    with pytest.raises(AgentFileError, match=r"q_net\.q_net\.0\.weight.*\[8, 3\].*\[8, 5\]"):
        load_agent(agent, wider)
    with pytest.raises(AgentFileError, match=r"a\.zip:policy\.pth: .*pass the env"):
        load_agent(agent, Spaces(VECTOR, PEDALS))
    with pytest.raises(AgentFileError, match="pass env="):
        load_agent(agent)


def test_huge_policy_is_rejected_without_allocating(agent: Path) -> None:
    with pytest.raises(AgentFileError, match=r"\[8, 3\].*\[1000000000000, 3\]"):
        load_agent(agent, ENV, policy_kwargs={"net_arch": [10**12]})


def test_unknown_class_needs_policy_kwargs(tmp_path: Path) -> None:
    class Mine(nn.ReLU):
        pass

    save(DQN, "MlpPolicy", ENV, tmp_path / "a.zip", policy_kwargs={"activation_fn": nn.ReLU})
    members = unpack((tmp_path / "a.zip").read_bytes())
    data = json.loads(members["data"])
    data["policy_kwargs"] = {"activation_fn": "<class 'mine.Mine'>"}
    (tmp_path / "a.zip").write_bytes(pack({**members, "data": json.dumps(data).encode()}))
    with pytest.raises(AgentFileError, match=r"mine.Mine.*policy_kwargs="):
        load_agent(tmp_path, ENV)
    model = load_agent(tmp_path, ENV, policy_kwargs={"activation_fn": Mine})
    assert isinstance(model.policy.q_net.q_net[1], Mine)


def test_path_may_be_a_file_link_or_folder(agent: Path, tmp_path: Path) -> None:
    by_link = tmp_path / "link.zip"
    by_link.symlink_to(agent)
    for path in (agent, str(agent), agent.with_suffix(""), by_link):
        assert isinstance(load_agent(path, ENV), DQN)
    with pytest.raises(AgentFileError, match=r"2 zips.*a\.zip"):
        load_agent(tmp_path, ENV)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no .zip"):
        load_agent(tmp_path / "empty", ENV)
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_agent(tmp_path / "nothing.zip", ENV)
    for odd in ("pipe.zip", "zero.zip"):
        os.mkfifo(tmp_path / odd) if odd == "pipe.zip" else (tmp_path / odd).symlink_to("/dev/zero")
        with pytest.raises(AgentFileError, match="not a regular file"):
            load_agent(tmp_path / odd, ENV)
    with pytest.raises(AgentFileError, match="max_bytes"):
        load_agent(agent, ENV, max_bytes=1000)


def test_loads_from_hugging_face_cache(agent: Path, tmp_path: Path) -> None:
    """The cache has symbolic links to blobs for model card and zip."""
    write_card(tmp_path, load_agent(agent, ENV))
    cache = tmp_path / "cache"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots" / "main").mkdir(parents=True)
    for name in ("a.zip", "card.json"):
        content = (tmp_path / name).read_bytes()
        blob = cache / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (cache / "snapshots" / "main" / name).symlink_to(os.path.join("..", "..", "blobs", blob))
    assert isinstance(load_agent(cache / "snapshots" / "main", None), DQN)


def test_rejects_nan_weights(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", ENV, buffer_size=9, policy_kwargs=dict(SMALL))
    with th.no_grad():
        model.q_net.q_net[0].bias[2] = math.nan
    model.save(tmp_path / "a.zip")
    with pytest.raises(AgentFileError, match=r"q_net\.q_net\.0\.bias"):
        load_agent(tmp_path, ENV)


def test_loads_file_with_shared_target_weights(agent: Path) -> None:
    """A target network may share the tensors of the online network, which halves the file."""
    members = unpack(agent.read_bytes())
    state = th.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    for name in [name for name in state if name.startswith("q_net.")]:
        state[name.replace("q_net.", "q_net_target.", 1)] = state[name]
    buffer = io.BytesIO()
    th.save(state, buffer)
    assert len(buffer.getvalue()) < len(members["policy.pth"])
    agent.write_bytes(pack({**members, "policy.pth": buffer.getvalue()}))
    model = load_agent(agent, ENV)
    online, target = (
        model.policy.state_dict()[f"{net}.q_net.0.weight"] for net in ("q_net", "q_net_target")
    )
    assert th.equal(online, target)
    assert online.data_ptr() != target.data_ptr()
