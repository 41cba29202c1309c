"""Tests of AtariCNN and the policies that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch as th
from gymnasium import spaces
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER
from rl_zoo3.utils import get_class_by_name
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_atari_course import (
    AtariCNN,
    AtariCnnPolicy,
    AtariQuantileCnnPolicy,
    FastDQN,
    make_atari_env,
)
from sb3_atari_course.policies import smallest_side

SCREENS = spaces.Box(0, 255, (4, 84, 84), np.uint8)
SMALL = {"learning_starts": 40, "buffer_size": 200, "train_freq": 4}


def small_env(n_envs: int = 1) -> Any:
    return make_atari_env("BreakoutNoFrameskip-v4", n_envs, seed=0)


def changed(before: list[th.Tensor], net: nn.Module) -> bool:
    """Return whether any parameter of a network has changed."""
    return any((a != b).any() for a, b in zip(before, net.parameters(), strict=True))


class TestAtariCNN:
    def test_default_is_the_network_of_the_dqn_paper(self) -> None:
        cnn = AtariCNN(SCREENS)
        x = th.rand(2, 4, 84, 84)
        shapes = []
        for module in [*cnn.cnn, *cnn.linear]:
            x = module(x)
            shapes.append(tuple(x.shape[1:]))
        assert shapes[::2] == [(32, 20, 20), (64, 9, 9), (64, 7, 7), (3136,), (512,)]
        assert sum(p.numel() for p in cnn.parameters()) == 1_684_128  # as in the docstring

    def test_features_equal_sb3_nature_cnn(self) -> None:
        ours, theirs = AtariCNN(SCREENS), NatureCNN(SCREENS)
        theirs.load_state_dict(ours.state_dict())
        x = th.rand(3, 4, 84, 84)
        th.testing.assert_close(ours(x), theirs(x))

    def test_layers_and_features_dim_can_be_set(self) -> None:
        cnn = AtariCNN(
            spaces.Box(0, 255, (2, 42, 50), np.uint8),
            layers=[[16, 4, 2], [32, 3, 2]],
            features_dim=64,
        )
        assert cnn(th.rand(5, 2, 42, 50)).shape == (5, 64)
        assert cnn.features_dim == 64

    @pytest.mark.parametrize(
        ("activation_fn", "at_minus_one"),
        [("relu", 0.0), ("leaky_relu", -0.2), (nn.LeakyReLU, -0.01), (nn.ReLU, 0.0)],
    )
    def test_applies_the_activation(self, activation_fn: Any, at_minus_one: float) -> None:
        cnn = AtariCNN(SCREENS, activation_fn=activation_fn)
        for module in (cnn.cnn[1], cnn.cnn[3], cnn.cnn[5], cnn.linear[1]):
            assert module(th.tensor(-1.0)).item() == pytest.approx(at_minus_one)

    def test_he_initialization_has_variance_two_over_fan_in(self) -> None:
        th.manual_seed(0)
        cnn = AtariCNN(SCREENS, weight_init="he")
        for layer, fan_in in (
            (cnn.cnn[0], 4 * 8 * 8),
            (cnn.cnn[2], 32 * 4 * 4),
            (cnn.cnn[4], 64 * 3 * 3),
            (cnn.linear[0], 64 * 7 * 7),
        ):
            assert layer.weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
            assert layer.weight.abs().max() < 2.3 * (2 / fan_in) ** 0.5  # truncated
            assert (layer.bias == 0).all()

    def test_rejects_images_that_are_too_small(self) -> None:
        AtariCNN(spaces.Box(0, 255, (4, 36, 36), np.uint8))
        with pytest.raises(ValueError, match=r"36 x 35 .* 36 pixels"):
            AtariCNN(spaces.Box(0, 255, (4, 36, 35), np.uint8))
        assert smallest_side([(16, 4, 2)]) == 4
        assert smallest_side([(16, 4, 2), (16, 3, 1)]) == 8

    @pytest.mark.parametrize(
        ("space", "message"),
        [
            (
                spaces.Box(-10, 10, (84, 84, 4), np.float32),
                "VecNormalize",
            ),  # as VecNormalize returns it
            (spaces.Box(0, 1, (4, 84, 84), np.uint8), "0 and 255"),
            (spaces.Box(0, 255, (84, 84), np.uint8), "wrap_atari"),
            (spaces.Discrete(3), "wrap_atari"),
            (spaces.Box(0, 255, (84, 84, 4), np.uint8), r"shape \(84, 84, 4\).*Transpose"),
        ],
    )
    def test_rejects_observations_that_are_not_images(
        self, space: spaces.Space[Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            AtariCNN(space)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"activation_fn": "tanh"}, "activation_fn must be one of .* got 'tanh'"),
            ({"weight_init": "xavier"}, "weight_init must be .* got 'xavier'"),
            ({"layers": []}, "layers must be triples"),
            ({"layers": [32, 8, 4]}, "layers must be triples"),
            ({"layers": [(32, 8, 0)]}, "at least 1, got 0"),
            ({"features_dim": 0}, "features_dim must be at least 1, got 0"),
        ],
    )
    def test_rejects_invalid_values(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AtariCNN(SCREENS, **kwargs)

    def test_warns_about_observations_that_are_stacked_twice(self) -> None:
        with pytest.warns(UserWarning, match="16 channels.*VecFrameStack"):
            AtariCNN(spaces.Box(0, 255, (16, 84, 84), np.uint8))
        AtariCNN(spaces.Box(0, 255, (12, 84, 84), np.uint8))  # four RGB frames


class TestPolicies:
    @pytest.mark.parametrize("dueling", [False, True])
    def test_dqn_learns_saves_and_loads(self, dueling: bool, tmp_path: Path) -> None:
        model = DQN(
            AtariCnnPolicy, small_env(), policy_kwargs={"dueling": dueling}, seed=0, **SMALL
        )
        before = {k: v.clone() for k, v in model.policy.q_net.state_dict().items()}
        model.learn(48)
        after = model.policy.q_net.state_dict()
        assert model._n_updates > 0
        assert all((before[name] != after[name]).any() for name in before)
        assert any("value_net" in name for name in after) == dueling

        model.save(tmp_path / "model")
        loaded = DQN.load(tmp_path / "model", buffer_size=1)
        assert isinstance(loaded.policy, AtariCnnPolicy)
        obs = np.random.default_rng(0).integers(0, 256, (32, 4, 84, 84), np.uint8)
        x = th.as_tensor(obs)
        th.testing.assert_close(loaded.q_net(x), model.q_net(x))
        actions = model.predict(obs, deterministic=True)[0]
        np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], actions)

        model.policy.save(str(tmp_path / "policy"))
        policy = AtariCnnPolicy.load(str(tmp_path / "policy"))
        np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], actions)

    def test_dueling_adds_value_and_centered_advantage(self) -> None:
        policy = AtariCnnPolicy(SCREENS, spaces.Discrete(3), lambda _: 1e-4, dueling=True)
        net: Any = policy.q_net
        for head in (net.q_net, net.value_net):
            nn.init.zeros_(head[-1].weight)
        with th.no_grad():
            net.q_net[-1].bias.copy_(th.tensor([1.0, 2.0, 6.0]))
            net.value_net[-1].bias.fill_(10.0)
        q_values = policy.q_net(th.zeros(2, 4, 84, 84, dtype=th.uint8))
        assert q_values.tolist() == [[8.0, 9.0, 13.0]] * 2

    @pytest.mark.parametrize("algo", ["dqn", "qrdqn"])
    def test_sampled_policy_kwargs_keep_the_network(self, algo: str) -> None:
        """RL Zoo's Optuna mode replaces the policy_kwargs of the yml file."""
        trial = optuna.create_study().ask()
        sampled = HYPERPARAMS_SAMPLER[algo](trial, 0, 1, {"using_her_replay_buffer": False})
        assert "features_extractor_class" not in sampled["policy_kwargs"]
        policy_class = {"dqn": AtariCnnPolicy, "qrdqn": AtariQuantileCnnPolicy}[algo]
        policy = policy_class(
            SCREENS, spaces.Discrete(4), lambda _: 1e-4, **sampled["policy_kwargs"]
        )
        net = policy.q_net if algo == "dqn" else policy.quantile_net
        assert isinstance(net.features_extractor, AtariCNN)

    def test_qrdqn_learns_and_loads(self, tmp_path: Path) -> None:
        kwargs = {"n_quantiles": 10, "features_extractor_kwargs": {"activation_fn": "leaky_relu"}}
        model = QRDQN(AtariQuantileCnnPolicy, small_env(), policy_kwargs=kwargs, seed=0, **SMALL)
        assert [tuple(p.shape) for p in model.quantile_net.quantile_net.parameters()] == [
            (40, 512),
            (40,),
        ]  # no layers between features and quantiles
        before = [p.clone() for p in model.quantile_net.parameters()]
        model.learn(48)
        assert changed(before, model.quantile_net)
        model.save(tmp_path / "model")
        loaded = QRDQN.load(tmp_path / "model", buffer_size=1)
        x = th.zeros(1, 4, 84, 84, dtype=th.uint8)
        assert loaded.quantile_net(x).shape == (1, 10, 4)
        th.testing.assert_close(loaded.quantile_net(x), model.quantile_net(x))

    def test_ppo_learns_with_atari_cnn(self) -> None:
        model = PPO(
            "CnnPolicy",
            small_env(2),
            n_steps=20,
            batch_size=20,
            n_epochs=1,
            seed=0,
            policy_kwargs={"features_extractor_class": AtariCNN},
        )
        before = [p.clone() for p in model.policy.parameters()]
        model.learn(40)
        assert model.num_timesteps == 40
        assert isinstance(model.policy.features_extractor, AtariCNN)
        assert changed(before, model.policy)

    def test_dotted_paths_are_stable(self) -> None:
        for policy in (AtariCnnPolicy, AtariQuantileCnnPolicy):
            assert get_class_by_name(f"sb3_atari_course.policies.{policy.__name__}") is policy
        assert get_class_by_name("sb3_atari_course.cnn.AtariCNN") is AtariCNN  # used by older files


@pytest.fixture(scope="module")
def env() -> Any:
    """Return a native environment."""
    env = make_atari_env("BreakoutNoFrameskip-v4", 1, native=True, seed=0)
    yield env
    env.close()


class TestInvalidUse:
    @pytest.mark.parametrize("policy", [AtariCnnPolicy, AtariQuantileCnnPolicy])
    @pytest.mark.parametrize("algorithm", [PPO, RecurrentPPO])
    def test_on_policy_algorithms_are_rejected(self, algorithm: Any, policy: Any, env: Any) -> None:
        name = f"{policy.__name__} .*{algorithm.__name__}"
        with pytest.raises(TypeError, match=rf"{name}: .*extractor_class=AtariCNN"):
            algorithm(policy, env)

    def test_policies_of_dqn_and_qrdqn_are_not_interchangeable(self, env: Any) -> None:
        for algorithm, policy, right in (
            (QRDQN, AtariCnnPolicy, "AtariQuantileCnnPolicy"),
            (DQN, AtariQuantileCnnPolicy, "AtariCnnPolicy"),
            (FastDQN, AtariQuantileCnnPolicy, "AtariCnnPolicy"),
            (QRDQN, type("Own", (AtariCnnPolicy,), {}), "AtariQuantileCnnPolicy"),
        ):
            name = f"{policy.__name__} .*{algorithm.__name__}: .*{right}"
            with pytest.raises(TypeError, match=name):
                algorithm(policy, env, buffer_size=10)

    def test_policy_may_be_made_in_a_callback_of_another_algorithm(
        self, env: Any, tmp_path: Path
    ) -> None:
        """DQN's policy is loaded in a callback of PPO."""
        path = tmp_path / "policy"
        AtariCnnPolicy(SCREENS, spaces.Discrete(4), lambda _: 1e-4).save(str(path))
        loaded: list[Any] = []

        class Load(BaseCallback):
            def _on_step(self) -> bool:
                loaded.append(AtariCnnPolicy.load(str(path)))
                loaded.append(DQN(AtariCnnPolicy, env, buffer_size=10).policy)
                return False

        without_fire = make_atari_env("MsPacmanNoFrameskip-v4", 1, native=True)
        PPO("CnnPolicy", without_fire, n_steps=4, batch_size=4).learn(4, Load())
        without_fire.close()
        assert [type(one) for one in loaded] == [AtariCnnPolicy] * 2

    @pytest.mark.parametrize(
        ("build", "wrong", "near"),
        [
            (AtariCNN, "feature_dim", "features_dim"),
            (AtariCnnPolicy, "duelling", "dueling"),
            (AtariQuantileCnnPolicy, "n_quantile", "n_quantiles"),
        ],
    )
    def test_suggests_the_nearest_name_for_an_unknown_argument(
        self, build: Any, wrong: str, near: str
    ) -> None:
        arguments = [SCREENS, spaces.Discrete(4), lambda _: 1e-4]
        with pytest.raises(TypeError, match=rf"{wrong}=True: did you mean {near}\?"):
            build(*arguments[: 1 if build is AtariCNN else 3], **{wrong: True})

    def test_rejects_dueling_that_is_not_a_bool(self) -> None:
        with pytest.raises(TypeError, match=r"dueling .*'no'"):
            AtariCnnPolicy(SCREENS, spaces.Discrete(4), lambda _: 1e-4, dueling="no")  # type: ignore[arg-type]
