"""From features to decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import optuna
import pytest
import torch as th
from gymnasium import spaces
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER
from rl_zoo3.utils import get_class_by_name
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from sb3_atari_course import (
    AtariCNN,
    AtariCnnPolicy,
    AtariQuantileCnnPolicy,
    FastDQN,
    make_atari_env,
    wrap_atari,
)

SCREENS = spaces.Box(0, 255, (4, 84, 84), np.uint8)
SMALL = {"learning_starts": 40, "buffer_size": 200, "train_freq": 4}


def small_env(n_envs: int = 1) -> Any:
    return make_atari_env("BreakoutNoFrameskip-v4", n_envs, seed=0)


def changed(before: list[th.Tensor], net: nn.Module) -> bool:
    """Tell whether a network's parameters differ from what they were."""
    return any((a != b).any() for a, b in zip(before, net.parameters(), strict=True))


class TestPolicies:
    @pytest.mark.parametrize("dueling", [False, True])
    def test_dqn_learns_saves_and_loads(self, dueling: bool, tmp_path: Path) -> None:
        model = DQN(
            AtariCnnPolicy, small_env(), policy_kwargs={"dueling": dueling}, seed=0, **SMALL
        )
        before = {k: v.clone() for k, v in model.policy.q_net.state_dict().items()}
        model.learn(80)
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

    def test_dueling_is_value_plus_centred_advantage(self) -> None:
        policy = AtariCnnPolicy(SCREENS, spaces.Discrete(3), lambda _: 1e-4, dueling=True)
        net: Any = policy.q_net
        for head in (net.q_net, net.value_net):
            nn.init.zeros_(head[-1].weight)
        with th.no_grad():
            net.q_net[-1].bias.copy_(th.tensor([1.0, 2.0, 6.0]))
            net.value_net[-1].bias.fill_(10.0)
        q_values = policy.q_net(th.zeros(2, 4, 84, 84, dtype=th.uint8))
        assert q_values.tolist() == [[8.0, 9.0, 13.0]] * 2

    def test_online_and_target_network_start_equal_and_share_nothing(self) -> None:
        policy = AtariCnnPolicy(SCREENS, spaces.Discrete(4), lambda _: 1e-4)
        online, target = policy.q_net.state_dict(), policy.q_net_target.state_dict()
        assert all((online[name] == target[name]).all() for name in online)
        addresses = {p.data_ptr() for p in policy.q_net.parameters()}
        assert not addresses & {p.data_ptr() for p in policy.q_net_target.parameters()}

    @pytest.mark.parametrize("algo", ["dqn", "qrdqn"])
    def test_sampled_policy_kwargs_keep_the_network(self, algo: str) -> None:
        """RL Zoo's Optuna mode replaces the policy_kwargs of the yml."""
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
        model.learn(80)
        assert changed(before, model.quantile_net)
        model.save(tmp_path / "model")
        loaded = QRDQN.load(tmp_path / "model", buffer_size=1)
        x = th.zeros(1, 4, 84, 84, dtype=th.uint8)
        assert loaded.quantile_net(x).shape == (1, 10, 4)
        th.testing.assert_close(loaded.quantile_net(x), model.quantile_net(x))

    def test_ppo_learns_with_our_network_and_envs(self) -> None:
        model = PPO(
            "CnnPolicy",
            small_env(2),
            n_steps=125,
            batch_size=50,
            n_epochs=1,
            seed=0,
            policy_kwargs={"features_extractor_class": AtariCNN},
        )
        before = [p.clone() for p in model.policy.parameters()]
        model.learn(500)
        assert model.num_timesteps == 500
        assert isinstance(model.policy.features_extractor, AtariCNN)
        assert changed(before, model.policy)

    def test_found_by_dotted_path(self) -> None:
        for policy in (AtariCnnPolicy, AtariQuantileCnnPolicy):
            assert get_class_by_name(f"sb3_atari_course.policies.{policy.__name__}") is policy

    def test_equal_seeds_give_equal_weights(self) -> None:
        def weights(seed: int) -> th.Tensor:
            env = gym.make("BreakoutNoFrameskip-v4")
            env = wrap_atari(env, n_stack=4)
            model = DQN(AtariCnnPolicy, env, seed=seed, **SMALL).learn(60)
            return th.cat([p.detach().flatten() for p in model.q_net.parameters()])

        first = weights(1)
        assert (first == weights(1)).all()
        assert (first != weights(2)).any()


@pytest.fixture(scope="module")
def env() -> Any:
    """Return a native game."""
    env = make_atari_env("BreakoutNoFrameskip-v4", 1, native=True, seed=0)
    yield env
    env.close()


class TestWrongUse:
    @pytest.mark.parametrize("policy", [AtariCnnPolicy, AtariQuantileCnnPolicy])
    @pytest.mark.parametrize(
        ("algorithm", "own"),
        [(PPO, "CnnPolicy"), (A2C, "CnnPolicy"), (RecurrentPPO, "CnnLstmPolicy")],
    )
    def test_on_policy_algorithms_take_their_own_on_our_network(
        self, algorithm: Any, own: str, policy: Any, env: Any
    ) -> None:
        name = f"{policy.__name__} is not a policy for {algorithm.__name__}"
        with pytest.raises(TypeError, match=rf"{name}: .*\('{own}'.*extractor_class=AtariCNN"):
            algorithm(policy, env)

    def test_dqn_and_qrdqn_have_one_each(self, env: Any) -> None:
        for algorithm, policy, right in (
            (QRDQN, AtariCnnPolicy, "AtariQuantileCnnPolicy"),
            (DQN, AtariQuantileCnnPolicy, "AtariCnnPolicy"),
            (FastDQN, AtariQuantileCnnPolicy, "AtariCnnPolicy"),
            (QRDQN, type("Own", (AtariCnnPolicy,), {}), "AtariQuantileCnnPolicy"),
        ):
            name = f"{policy.__name__} is not a policy for {algorithm.__name__}: take {right}"
            with pytest.raises(TypeError, match=name):
                algorithm(policy, env, buffer_size=10)

    def test_an_algorithm_that_only_calls_is_not_refused(self, env: Any, tmp_path: Path) -> None:
        """A DQN is opened in a callback of PPO."""
        path = tmp_path / "policy"
        AtariCnnPolicy(SCREENS, spaces.Discrete(4), lambda _: 1e-4).save(str(path))
        opened: list[Any] = []

        class Open(BaseCallback):
            def _on_step(self) -> bool:
                opened.append(AtariCnnPolicy.load(str(path)))
                opened.append(DQN(AtariCnnPolicy, env, buffer_size=10).policy)
                return False

        quiet = make_atari_env("MsPacmanNoFrameskip-v4", 1, native=True)
        PPO("CnnPolicy", quiet, n_steps=4, batch_size=4).learn(4, Open())
        quiet.close()
        assert [type(one) for one in opened] == [AtariCnnPolicy] * 2

    @pytest.mark.parametrize(
        ("policy", "wrong", "near"),
        [
            (AtariCnnPolicy, "duelling", "dueling"),
            (AtariCnnPolicy, "feature_extractor_kwargs", "features_extractor_kwargs"),
            (AtariQuantileCnnPolicy, "n_quantile", "n_quantiles"),
        ],
    )
    def test_an_unknown_argument_is_named_with_the_nearest(
        self, policy: Any, wrong: str, near: str
    ) -> None:
        kwargs = {wrong: True}
        with pytest.raises(TypeError, match=rf"{wrong}=True: did you mean {near}\?"):
            policy(SCREENS, spaces.Discrete(4), lambda _: 1e-4, **kwargs)

    @pytest.mark.parametrize("value", ["no", 0, None])
    def test_dueling_is_a_bool(self, value: Any) -> None:
        with pytest.raises(TypeError, match=f"dueling .*{value!r}"):
            AtariCnnPolicy(SCREENS, spaces.Discrete(4), lambda _: 1e-4, dueling=value)
