"""Gradient steps: loss, gradient clipping, memory format, optimizer, torch.compile."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from sb3_atari_course.fast_dqn.updates import (
    Compiled,
    GradientStep,
    channels_last,
    clip_gradient,
    enable_fused,
    portable_state,
    q_function,
    set_learning_rate,
    temporal_difference_loss,
)
from sb3_atari_course.replay.stacks import CV_MAX_CHANNELS
from tests import naive
from tests.fakes import FakeGame

N_STATES, N_ACTIONS, GAMMA = 5, 3, 0.9


def q_tables(seed: int) -> tuple[th.Tensor, th.Tensor]:
    """Return Q-tables of an online and a target network."""
    generator = th.Generator().manual_seed(seed)
    shape = (N_STATES, N_ACTIONS)
    online = th.randn(shape, generator=generator) * 3
    return online.requires_grad_(), th.randn(shape, generator=generator) * 3


def batch(seed: int, *, discounts: bool) -> ReplayBufferSamples:
    """Return 40 transitions between state indices; several are terminal."""
    rng = np.random.default_rng(seed)
    return ReplayBufferSamples(
        observations=th.tensor(rng.integers(N_STATES, size=40)),
        actions=th.tensor(rng.integers(N_ACTIONS, size=(40, 1))),
        next_observations=th.tensor(rng.integers(N_STATES, size=40)),
        dones=th.tensor(rng.integers(2, size=(40, 1)), dtype=th.float32),
        rewards=th.tensor(rng.normal(size=(40, 1)), dtype=th.float32),
        discounts=th.tensor(rng.random((40, 1)), dtype=th.float32) if discounts else None,
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("discounts", [False, True])
@pytest.mark.parametrize("double_q", [False, True])
def test_loss_matches_naive_implementation(double_q: bool, discounts: bool, seed: int) -> None:
    (online, target), sampled = q_tables(seed), batch(seed, discounts=discounts)
    loss = temporal_difference_loss(
        sampled, lambda s: online[s], lambda s: target[s], gamma=GAMMA, double_q=double_q
    )
    expected = naive.temporal_difference_loss(
        sampled, online.detach().numpy(), target.numpy(), gamma=GAMMA, double_q=double_q
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("double_q", [False, True])
def test_gradient_reaches_only_online_q_values_of_taken_actions(double_q: bool) -> None:
    online, target = q_tables(1)
    target.requires_grad_()
    transition = ReplayBufferSamples(
        observations=th.tensor([2]),
        actions=th.tensor([[1]]),
        next_observations=th.tensor([4]),
        dones=th.zeros(1, 1),
        rewards=th.ones(1, 1),
    )
    temporal_difference_loss(
        transition, lambda s: online[s], lambda s: target[s], gamma=GAMMA, double_q=double_q
    ).backward()
    assert target.grad is None
    assert online.grad is not None
    assert [tuple(index) for index in online.grad.nonzero().tolist()] == [(2, 1)]


def make_weights(first: float) -> list[th.Tensor]:
    """Return three weights, two with gradients; with ``first=3`` the gradient norm is 5."""
    weights = [th.zeros(2, requires_grad=True), th.zeros(1), th.zeros(1, requires_grad=True)]
    weights[0].grad = th.tensor([first, 0.0])
    weights[2].grad = th.tensor([-4.0])
    return weights


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 4.999999, 5.0, 5.000001, 5.1, math.inf])
@pytest.mark.parametrize("first", [3.0, math.nan])
def test_gradient_clipping_matches_pytorch(first: float, max_norm: float) -> None:
    """NaN gradients make all others NaN too, so that divergence is visible."""
    ours, theirs = make_weights(first), make_weights(first)
    clip_gradient(ours, max_norm)
    th.nn.utils.clip_grad_norm_(theirs, max_norm)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.grad is None) == (their.grad is None)
        assert our.grad is None or th.equal(our.grad.nan_to_num(9), their.grad.nan_to_num(9))


@pytest.mark.parametrize("shape", [(6, 4, 10, 7), (1, 2, 5, 5), (3, 12, 4, 4)])
def test_channels_last_keeps_values(shape: tuple[int, ...]) -> None:
    images = th.randint(256, shape, dtype=th.uint8, generator=th.Generator().manual_seed(0))
    reordered = channels_last(images)
    assert th.equal(reordered, images)
    assert reordered.is_contiguous(memory_format=th.channels_last)


@pytest.mark.parametrize(
    "others",
    [
        th.zeros(4, 3),  # not images
        th.zeros(2, 4, 5, 5),  # floats
        th.zeros(2, 1, 5, 5, dtype=th.uint8),  # one channel: nothing to reorder
        th.zeros(1, CV_MAX_CHANNELS + 1, 1, 1, dtype=th.uint8),
        th.zeros(2, 5, 5, 4, dtype=th.uint8).permute(0, 3, 1, 2),  # already channels-last
    ],
)
def test_channels_last_returns_other_observations_unchanged(others: th.Tensor) -> None:
    assert channels_last(others) is others


def test_gradient_step_uses_channels_last_and_returns_the_loss() -> None:
    env = FakeGame(shape=(36, 36, 3))
    model = DQN("CnnPolicy", env, buffer_size=20, learning_starts=30, seed=0, device="cpu")
    model.learn(20)
    sampled: Any = model.replay_buffer.sample(4)  # type: ignore[union-attr]
    expected = temporal_difference_loss(
        sampled, model.q_net, model.q_net_target, gamma=0.99, double_q=False
    )
    seen: list[Any] = []

    def loss(batch: ReplayBufferSamples, *args: Any, **kwargs: Any) -> th.Tensor:
        seen.append(batch)
        return temporal_difference_loss(batch, *args, **kwargs)

    step = GradientStep(model, double_q=False, compiled=loss)  # type: ignore[arg-type]
    weights = [weight.detach().clone() for weight in model.q_net.parameters()]
    assert step(sampled).item() == pytest.approx(expected.item(), rel=1e-5)
    assert seen[0].observations.stride()[1] == seen[0].next_observations.stride()[1] == 1
    assert all(
        not th.equal(after, before)
        for after, before in zip(model.q_net.parameters(), weights, strict=True)
    )


def test_q_function_matches_the_network() -> None:
    space = spaces.Box(0, 255, (4, 40, 40), "uint8")
    q_net = make_q_net("CnnPolicy", space)
    function = q_function(q_net)
    assert function is not q_net
    for seed in range(2):
        images = th.randint(
            256, (3, 4, 40, 40), dtype=th.uint8, generator=th.Generator().manual_seed(seed)
        )
        assert th.equal(function(images), q_net(images))
        with th.no_grad():  # the function follows the weights
            for weight in q_net.parameters():
                weight.mul_(1.5)
    assert q_net.normalize_images  # the network itself still scales
    vectors = make_q_net("MlpPolicy", spaces.Box(-1, 1, (3,)))
    assert q_function(vectors) is vectors


def make_q_net(policy: str, space: spaces.Box) -> Any:
    env = FakeGame()
    env.observation_space = space
    model = DQN(policy, env, buffer_size=1, seed=0, device="cpu")
    return model.q_net


def make_layer(optimizer_class: Any, **kwargs: Any) -> tuple[nn.Linear, Any]:
    th.manual_seed(0)
    layer = nn.Linear(4, 3)
    return layer, optimizer_class(layer.parameters(), **{"lr": 0.01, **kwargs})


def step(layer: nn.Linear, optimizer: Any, seed: int) -> None:
    optimizer.zero_grad()
    th.manual_seed(seed)
    layer(th.randn(5, 4)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "optimizer_class", [th.optim.Adam, th.optim.AdamW, th.optim.SGD, th.optim.RMSprop]
)
def test_fused_optimizer_takes_the_same_steps(optimizer_class: Any) -> None:
    (fast_layer, fast), (layer, plain) = (make_layer(optimizer_class) for _ in range(2))
    for i in range(12):
        if i == 4:  # during training
            enable_fused(fast)
            assert fast.param_groups[0].get("fused") is (
                None if optimizer_class is th.optim.RMSprop else True
            )
            assert not fast.param_groups[0].get("capturable")  # on a GPU only
        for one, optimizer in ((fast_layer, fast), (layer, plain)):
            set_learning_rate(optimizer, 0.01 / (i + 1))
            step(one, optimizer, i)
    th.testing.assert_close(fast_layer.state_dict(), layer.state_dict(), rtol=1e-5, atol=1e-6)
    assert not th.equal(layer.weight, make_layer(optimizer_class)[0].weight)


@pytest.mark.parametrize("settings", [{"fused": False}, {"foreach": True}])
def test_enable_fused_keeps_user_settings(settings: dict[str, bool]) -> None:
    _, optimizer = make_layer(th.optim.Adam, **settings)
    enable_fused(optimizer)
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in settings} == settings
    assert not group["fused"]


def test_tensor_learning_rate_is_filled_in_place() -> None:
    """A CUDA graph holds its address."""
    _, optimizer = make_layer(th.optim.Adam)
    rate = optimizer.param_groups[0]["lr"] = th.tensor(0.5)
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert portable_state(optimizer)["param_groups"][0]["lr"] == 0.25
    assert type(portable_state(optimizer)["param_groups"][0]["lr"]) is float


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")
def test_optimizer_on_gpu_is_capturable_and_saved_for_cpu() -> None:
    layer = nn.Linear(4, 3).cuda()
    optimizer = th.optim.Adam(layer.parameters())
    layer(th.ones(1, 4, device="cuda")).sum().backward()
    optimizer.step()
    enable_fused(optimizer)
    group = optimizer.param_groups[0]
    assert (group["fused"], group["capturable"]) == (True, True)
    assert group["lr"].is_cuda
    assert all(state["step"].is_cuda for state in optimizer.state.values())
    saved = portable_state(optimizer)
    assert (saved["param_groups"][0]["fused"], saved["param_groups"][0]["capturable"]) == (
        None,
        False,
    )
    assert not saved["state"][0]["step"].is_cuda


ROOT = Path(__file__).parents[2]


def scaled_sum(x: th.Tensor, *, factor: float) -> th.Tensor:
    return (x * factor).relu().sum()


def wrong(x: th.Tensor) -> th.Tensor:
    return x @ th.zeros(7, 7)


def test_compile_failure_warns_once_and_falls_back_to_eager(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[Any] = []

    def fails(*args: Any, **kwargs: Any) -> Any:
        attempts.append(args)
        raise RuntimeError("\n  no g++ here:\nmany lines")

    monkeypatch.setattr(th, "compile", lambda function: fails)
    function, x = Compiled(scaled_sum), th.tensor([1.0, -2.0, 3.0])
    with pytest.warns(UserWarning, match="compile=True .*no g\\+\\+ here\\."):
        assert function(x, factor=2.0) == 8.0
    assert function(x, factor=3.0) == 12.0
    assert len(attempts) == 1
    with pytest.raises(RuntimeError, match="mat1 and mat2"):  # without a warning
        Compiled(wrong)(th.zeros(2, 3))


@pytest.mark.services
def test_training_without_a_compiler_warns_once(tmp_path: Path) -> None:
    code = (
        "from sb3_atari_course import FastDQN\n"
        "model = FastDQN('MlpPolicy', 'CartPole-v1', compile=True, learning_starts=50, seed=0)\n"
        "model.learn(120)\n"
        "print('updates:', model._n_updates)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={
            **os.environ,
            "CXX": "/nowhere/g++",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == "updates: 18\n"
    warned = [line for line in done.stderr.splitlines() if "compile=True" in line]
    assert len(warned) == 1, done.stderr

    assert "/nowhere/g++" in warned[0]
