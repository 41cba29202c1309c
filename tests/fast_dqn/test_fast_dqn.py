"""FastDQN acts and learns like SB3's DQN."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_atari_course import AtariCnnPolicy, FastDQN, FrameReplayBuffer, make_atari_env
from sb3_atari_course._common.errors import SettingError
from tests.fakes import FakeGame

SMALL = {"shape": (42, 42)}
NETWORK = {"features_extractor_kwargs": {"features_dim": 16}}


def make_model(cls: Any, n_envs: int = 1, policy: Any = "CnnPolicy", **kwargs: Any) -> Any:
    settings: dict[str, Any] = {
        "policy_kwargs": NETWORK,
        "buffer_size": 400,
        "learning_starts": 60,
        "batch_size": 8,
        "target_update_interval": 40,
        "seed": 0,
        "device": "cpu",
        **kwargs,
    }
    env = make_atari_env("BreakoutNoFrameskip-v4", n_envs, seed=3, wrapper_kwargs=SMALL)
    return cls(policy, env, **settings)


def distance(ours: Any, theirs: Any) -> float:
    """Return the largest relative difference of a weight tensor, including the target network."""
    pairs = zip(ours.policy.state_dict().values(), theirs.policy.state_dict().values(), strict=True)
    return max(float((our - their).norm() / their.norm()) for our, their in pairs)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"policy": AtariCnnPolicy, "policy_kwargs": {**NETWORK, "dueling": True}},
        {"n_steps": 3},
        {"train_freq": (1, "episode"), "gradient_steps": -1},
        {"tau": 0.5, "max_grad_norm": 0.01, "learning_rate": lambda left: 1e-3 * left},
        {"policy_kwargs": {**NETWORK, "optimizer_class": th.optim.RMSprop}},
    ],
    ids=["plain", "dueling", "n_steps", "episodes", "settings", "RMSprop"],
)
def test_training_with_one_environment_matches_sb3(settings: Any) -> None:
    """The same actions and observations, and weights equal up to rounding."""
    theirs = make_model(DQN, **settings).learn(140)
    ours = make_model(FastDQN, **settings).learn(140)
    assert ours._n_updates == theirs._n_updates > 10
    assert ours.num_timesteps == theirs.num_timesteps
    assert (ours.replay_buffer.actions == theirs.replay_buffer.actions).all()
    assert (ours.replay_buffer.observations == theirs.replay_buffer.observations).all()
    assert distance(ours, theirs) < 1e-4
    fresh = make_model(DQN, **settings)
    assert distance(fresh, theirs) > 1e-3  # the weights have changed


def test_losses_and_weights_match_sb3_over_50_equal_batches() -> None:
    """With two environments; the target network is updated every 10 calls."""
    models = [
        make_model(cls, 2, learning_starts=10**6, target_update_interval=20, batch_size=32)
        for cls in (DQN, FastDQN)
    ]
    for model in models:
        model.learn(120)
    for seed in range(50):
        losses = []
        for model in models:
            np.random.seed(seed)  # noqa: NPY002
            model.train(1, 32)
            model._on_step()
            losses.append(model.logger.name_to_value["train/loss"])
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    theirs, ours = models
    assert th.equal(ours.q_net_target.q_net[0].weight, ours.q_net.q_net[0].weight)
    assert distance(ours, theirs) < 1e-4


@pytest.mark.slow
def test_compiled_updates_match_eager_ones() -> None:
    eager, compiled = (
        make_model(FastDQN, 2, compile=compile).learn(200) for compile in (False, True)
    )
    assert compiled._n_updates == eager._n_updates > 5
    assert distance(compiled, eager) < 1e-4


def test_exploration_is_sampled_per_environment() -> None:
    env = make_vec_env("CartPole-v1", 8, seed=0)
    model = FastDQN("MlpPolicy", env, buffer_size=8, seed=0, device="cpu")
    obs: Any = env.reset()
    model.exploration_rate = 0.5
    greedy = model.predict(obs, deterministic=True)[0]
    played = np.array([model.predict(obs)[0] for _ in range(400)])
    # half of the random actions are greedy by chance
    others = (played != greedy).mean(axis=0)
    assert (np.abs(others - 0.5 / 2) < 0.1).all()
    n_others = (played != greedy).sum(axis=1)
    assert 0 < (n_others == 0).mean() < 0.2  # a common random number would give 0.5
    model.exploration_rate = 0.0
    assert (model.predict(obs)[0] == greedy).all()
    model.exploration_rate = 1.0
    model.policy._predict = None  # type: ignore[assignment]  # the network is not evaluated
    assert model.predict(obs)[0].shape == (8,)


def test_predict_of_a_single_observation_matches_sb3() -> None:
    ours, theirs = make_model(FastDQN), make_model(DQN)
    obs = ours.env.reset()[0]
    played = []
    for model in (ours, theirs):
        model.exploration_rate = 0.5
        model.set_random_seed(5)
        played.append([int(model.predict(obs)[0]) for _ in range(50)])
    assert played[0] == played[1]
    assert len(set(played[0])) > 1


def play(model: Any, observation: Any, epsilon: float) -> Any:
    """Return the result or exception of ``predict()`` in a comparable form."""
    model.exploration_rate = epsilon
    model.set_random_seed(5)
    try:
        actions, state = model.predict(observation)
    except Exception as error:  # of any type: compared with DQN's
        return type(error), str(error)
    return type(actions), actions.dtype, actions.shape, actions.tolist(), state


BOX = spaces.Box(-1, 1, (3,))
IMAGES = spaces.Box(0, 255, (3, 40, 40), np.uint8)
DICT = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
ZEROS, ZERO_IMAGE = np.zeros(3, np.float32), np.zeros((3, 40, 40), np.uint8)


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (BOX, ZEROS),
        (BOX, [ZEROS, ZEROS + 1]),
        (BOX, (ZEROS, {})),
        (BOX, np.zeros((2, 5))),
        (BOX, None),
        (spaces.Discrete(4), 2),
        (spaces.MultiDiscrete([3, 4]), [[1, 2]]),
        (IMAGES, ZERO_IMAGE[None]),
        (IMAGES, (ZERO_IMAGE, {})),
        (DICT, {"a": ZEROS, "b": 1}),
        (DICT, {"a": [ZEROS.tolist()], "b": [1]}),
        (DICT, {"a": ZEROS, "c": 1}),
    ],
)
def test_predict_validates_observations_like_sb3(space: Any, observation: Any) -> None:
    """Compared with greedy DQN, because exploring DQN fails on some valid observations."""
    env = FakeGame()
    env.observation_space = space
    policy = "MlpPolicy" if space is not IMAGES else "CnnPolicy"
    policy = "MultiInputPolicy" if space is DICT else policy
    theirs, ours = (cls(policy, env, buffer_size=1, device="cpu") for cls in (DQN, FastDQN))
    ours.policy.load_state_dict(theirs.policy.state_dict())
    expected = play(theirs, observation, 0.0)
    assert play(ours, observation, 0.0) == expected
    exploring = play(ours, observation, 1.0)
    if issubclass(expected[0], Exception):
        assert exploring == expected
    else:
        assert exploring[:3] == expected[:3]
        assert theirs.action_space.contains(np.int64(np.ravel(exploring[3])[0]))


class DictGame(FakeGame):
    """Game with ``Dict`` observations."""

    def __init__(self) -> None:
        super().__init__(ends_at=20)
        self.observation_space = spaces.Dict(
            {"a": spaces.Box(-1, 1, (3,)), "b": spaces.Box(-1, 1, (2,))}
        )

    def _look(self) -> Any:
        return {"a": np.full(3, self.frame / 20, np.float32), "b": np.zeros(2, np.float32)}


def test_dict_and_normalized_observations_are_supported() -> None:
    settings: Any = {"learning_starts": 20, "buffer_size": 100, "seed": 0, "device": "cpu"}
    model = FastDQN("MultiInputPolicy", DummyVecEnv([DictGame] * 3), **settings).learn(120)
    assert model._n_updates > 5
    for cls in (DQN, FastDQN):
        env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
        env.seed(0)
        model = cls("MlpPolicy", env, **settings).learn(200)
        weights = th.cat([weight.flatten() for weight in model.policy.parameters()])
        if cls is DQN:
            expected = weights
    th.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)


def test_log_matches_sb3(tmp_path: Any) -> None:
    logged = []
    for cls in (DQN, FastDQN):
        settings: Any = {"learning_starts": 20, "buffer_size": 200, "seed": 0, "device": "cpu"}
        model = cls("MlpPolicy", "CartPole-v1", **settings)
        model.set_logger(configure(str(tmp_path / cls.__name__), ["json"]))
        model.learn(150, log_interval=1)
        model.logger.close()
        lines = (tmp_path / cls.__name__ / "progress.json").read_text().splitlines()
        logged.append([json.loads(line) for line in lines])
    theirs, ours = logged
    assert len(ours) == len(theirs) > 2
    assert {*ours[-1]} == {*theirs[-1]}
    for name in ("rollout/ep_rew_mean", "train/n_updates", "time/total_timesteps"):
        assert ours[-1][name] == theirs[-1][name], name
    for name in ("train/loss", "train/learning_rate", "rollout/exploration_rate"):
        assert ours[-1][name] == pytest.approx(theirs[-1][name], rel=1e-4), name


def test_train_enables_training_mode() -> None:
    """As required by dropout, for example."""
    model = make_model(FastDQN).learn(80)
    model.policy.set_training_mode(False)
    model.train(1, 8)
    assert model.policy.training


def test_rejects_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(th.cuda, "device_count", lambda: 1)
    with pytest.raises(SettingError, match="device='cuda:1'"):
        make_model(FastDQN, device="cuda:1")


@pytest.mark.parametrize("name", ["double_q", "compile"])
def test_rejects_flags_that_are_not_bool(name: str, tmp_path: Any) -> None:
    message = f"{name} must be True or False, got 'no'"
    with pytest.raises(TypeError, match=message):
        make_model(FastDQN, **{name: "no"})
    model = make_model(FastDQN, **{name: np.False_})
    setattr(model, name, "no")
    model.save(tmp_path / "model")
    with pytest.raises(TypeError, match=message):
        model.train(1, 8)
    with pytest.raises(TypeError, match=message):
        FastDQN.load(tmp_path / "model")


def test_graphs_require_all_inputs_on_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tested without a GPU, by the device attributes of model and buffer."""
    model = make_model(
        FastDQN,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"storage_device": "cuda"},
    )
    group = model.policy.optimizer.param_groups[0]
    monkeypatch.setattr(th.cuda, "current_device", lambda: 0)
    assert not model._can_use_graphs()
    model.device, group["capturable"] = th.device("cuda"), True
    assert model._can_use_graphs()
    model._vec_normalize_env = "any"  # sampling normalizes on the CPU
    assert not model._can_use_graphs()
    model._vec_normalize_env = None
    group["capturable"] = False  # the learning rate would be captured as a constant
    assert not model._can_use_graphs()
    group["capturable"] = True
    for storage_device, expected in (("cpu", False), ("cuda:1", False), ("cuda:0", True)):
        model.replay_buffer.storage_device = th.device(storage_device)
        assert model._can_use_graphs() is expected


def test_train_sets_gamma_of_the_replay_buffer() -> None:
    """Also where the buffer has None, as in agents of older versions, or another value."""
    buffer = {"replay_buffer_class": FrameReplayBuffer}
    model = make_model(
        FastDQN, gamma=0.9, replay_buffer_kwargs={"n_steps": 3, "gamma": None}, **buffer
    )
    model.learn(80)
    assert model.replay_buffer.gamma == 0.9
    assert float(model.replay_buffer.sample(50).discounts.min()) == pytest.approx(0.9**3)
    model.gamma = 0.5
    model.train(1, 8)
    assert model.replay_buffer.gamma == 0.5
