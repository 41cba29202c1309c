"""Copies of FastDQN train independently, and changes between trainings take effect as in DQN."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_atari_course import FastDQN, FrameReplayBuffer
from tests.fast_dqn.test_fast_dqn import distance
from tests.fast_dqn.test_fast_dqn import make_model as make_breakout

COPY: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
}


def make_model(cls: Any, **kwargs: Any) -> Any:
    """Return a small model that learns fast enough for each setting to have an effect."""
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "learning_starts": 20,
        "buffer_size": 300,
        "batch_size": 8,
        "target_update_interval": 30,
        "policy_kwargs": {"net_arch": [8, 8]},
        "seed": 0,
        "device": "cpu",
        **kwargs,
    }
    return cls("MlpPolicy", "CartPole-v1", **settings)


def weights(model: Any) -> th.Tensor:
    """Return all weights, including those of the target network, as one vector."""
    return th.cat([value.flatten() for value in model.policy.state_dict().values()]).clone()


def learn(model: Any, n_steps: int = 200, **kwargs: Any) -> th.Tensor:
    """Seed everything, continue training and return the weights."""
    model.set_random_seed(3)
    return weights(model.learn(n_steps, reset_num_timesteps=False, **kwargs))


@pytest.mark.parametrize("how", COPY)
def test_copy_trains_like_the_original_and_independently(how: str) -> None:
    """A copy of SB3's DQN ends with the same weights."""
    after = []
    for cls in (DQN, FastDQN):
        model = make_model(cls).learn(100)
        copied = COPY[how](model)
        before = weights(model)
        gradients = [None if w.grad is None else w.grad.clone() for w in model.policy.parameters()]
        after.append(learn(copied))
        assert not th.equal(after[-1], before)
        assert th.equal(weights(model), before)
        for weight, gradient in zip(model.policy.parameters(), gradients, strict=True):
            assert gradient is None or th.equal(weight.grad, gradient)
        assert th.equal(learn(model), after[-1])
    th.testing.assert_close(after[1], after[0], rtol=1e-4, atol=1e-5)


def test_copy_of_atari_model_has_separate_replay_buffer() -> None:
    """Copied without its environment, because VecTransposeImage and emulators cannot be copied."""
    model = make_breakout(FastDQN, 2, replay_buffer_class=FrameReplayBuffer).learn(120)
    env, model.env = model.env, None
    copied = copy.deepcopy(model)
    assert distance(copied, model) == 0
    copied.set_env(env)
    copied.learn(20, reset_num_timesteps=False)
    assert distance(copied, model) > 0
    assert (model.replay_buffer.size(), copied.replay_buffer.size()) == (60, 72)
    copied.replay_buffer.check_valid()


def new_head_and_optimizer(model: Any) -> None:
    th.manual_seed(5)
    model.q_net.q_net[-1] = th.nn.Linear(8, 2)
    model.policy.optimizer = th.optim.Adam(model.q_net.parameters(), lr=1e-3)


def additional_layer(model: Any) -> None:
    th.manual_seed(5)
    for net in (model.q_net_target, model.q_net):
        layer = th.nn.Linear(2, 2)
        net.q_net.append(layer)
    model.policy.optimizer.add_param_group({"params": layer.parameters()})


def frozen_layer(model: Any) -> None:
    model.q_net.q_net[0].requires_grad_(False)


def another_target(model: Any) -> None:
    th.manual_seed(6)
    model.policy.q_net_target = model.policy.make_q_net()
    model._create_aliases()


def parameters_of_another_model(model: Any) -> None:
    model.set_parameters(make_model(type(model), seed=9).learn(80).get_parameters())


def another_buffer(model: Any) -> None:
    other = make_model(type(model), seed=9, learning_starts=300).learn(250)
    model.replay_buffer = other.replay_buffer


def setting(**values: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.__dict__.update(values)

    change.__name__ = " ".join(values)
    return change


def group_setting(**values: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for group in model.policy.optimizer.param_groups:
            group.update(values)

    change.__name__ = " ".join(values)
    return change


@pytest.fixture(scope="module")
def unchanged() -> th.Tensor:
    return learn(make_model(FastDQN).learn(100))


@pytest.mark.parametrize(
    "change",
    [
        setting(gamma=0.5),
        setting(max_grad_norm=1e-3),
        setting(lr_schedule=lambda _: 1e-3),
        group_setting(weight_decay=0.5),
        new_head_and_optimizer,
        additional_layer,
        frozen_layer,
        another_target,
        parameters_of_another_model,
        another_buffer,
    ],
    ids=lambda change: change.__name__,
)
def test_changes_after_training_take_effect_as_in_dqn(change: Any, unchanged: th.Tensor) -> None:
    theirs, ours = (make_model(cls).learn(100) for cls in (DQN, FastDQN))
    for model in (theirs, ours):
        change(model)
    expected = learn(theirs)
    th.testing.assert_close(learn(ours), expected, rtol=1e-3, atol=1e-4)
    same_shape = unchanged.shape == expected.shape
    assert not same_shape or not th.allclose(unchanged, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("double_q", [False, True])
def test_double_q_can_be_switched_between_trainings(double_q: bool) -> None:
    switched = make_model(FastDQN, double_q=not double_q).learn(100)
    with th.no_grad():
        for weight in switched.q_net_target.q_net[-1].parameters():
            weight.neg_()  # makes the networks choose different actions
    losses = []
    for flag in (not double_q, double_q):
        model = make_model(FastDQN, double_q=flag).learn(100)
        model.set_parameters(copy.deepcopy(switched.get_parameters()))
        losses.append(next_loss(model))
    switched.double_q = double_q
    assert next_loss(switched) == pytest.approx(losses[1], rel=1e-5) != losses[0]


def next_loss(model: Any) -> float:
    """Run one update on a fixed batch and return the logged loss."""
    np.random.seed(4)  # noqa: NPY002
    model.train(1, 64)
    return float(model.logger.name_to_value["train/loss"])


def test_compile_can_be_switched_between_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled once for all layers and not for a copy; compiling itself is not tested here."""
    compiled: list[Any] = []
    monkeypatch.setattr(th, "compile", lambda function: (compiled.append(function), function)[1])
    model = make_model(FastDQN, compile=True).learn(60)
    assert len(compiled) == 1
    new_head_and_optimizer(model)
    model.gamma = 0.5
    model.learn(20, reset_num_timesteps=False)
    assert len(compiled) == 1
    plain = copy.deepcopy(model)
    plain.compile = False
    after = [learn(one, 60) for one in (model, plain)]
    assert th.equal(*after)
    assert len(compiled) == 1


def test_new_environment_with_vec_normalize_is_used() -> None:
    after = []
    for cls in (DQN, FastDQN):
        model = make_model(cls).learn(100)
        model.set_env(VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")])))
        after.append(learn(model))
    th.testing.assert_close(after[1], after[0], rtol=1e-3, atol=1e-4)
