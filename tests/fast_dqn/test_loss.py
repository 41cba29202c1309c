"""The loss against one computed number by number."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_course.fast_dqn.loss import temporal_difference_loss
from tests import naive

N_STATES, N_ACTIONS, GAMMA = 5, 3, 0.9


def tables(seed: int) -> tuple[th.Tensor, th.Tensor]:
    """Return the Q-values of an online and of a target network, by state."""
    generator = th.Generator().manual_seed(seed)
    shape = (N_STATES, N_ACTIONS)
    online = th.randn(shape, generator=generator) * 3
    return online.requires_grad_(), th.randn(shape, generator=generator) * 3


def batch(seed: int, *, discounts: bool) -> ReplayBufferSamples:
    """Return 40 transitions between numbered states; several end."""
    rng = np.random.default_rng(seed)
    return ReplayBufferSamples(
        observations=th.tensor(rng.integers(N_STATES, size=40)),
        actions=th.tensor(rng.integers(N_ACTIONS, size=(40, 1))),
        next_observations=th.tensor(rng.integers(N_STATES, size=40)),
        dones=th.tensor(rng.integers(2, size=(40, 1)), dtype=th.float32),
        rewards=th.tensor(rng.normal(size=(40, 1)), dtype=th.float32),
        discounts=th.tensor(rng.random((40, 1)), dtype=th.float32) if discounts else None,
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("discounts", [False, True])
@pytest.mark.parametrize("double_q", [False, True])
def test_the_loss_is_the_naive_one(double_q: bool, discounts: bool, seed: int) -> None:
    (online, target), sampled = tables(seed), batch(seed, discounts=discounts)
    loss = temporal_difference_loss(
        sampled, lambda s: online[s], lambda s: target[s], gamma=GAMMA, double_q=double_q
    )
    expected = naive.temporal_difference_loss(
        sampled, online.detach().numpy(), target.numpy(), gamma=GAMMA, double_q=double_q
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("double_q", "expected"), [(False, 3.2), (True, 1.4)])
def test_double_q_takes_the_value_of_the_online_networks_choice(
    double_q: bool, expected: float
) -> None:
    """Reward 1 and 0.9 times 3, the target's best, or 1, what it thinks of the other's best."""
    online, target = th.tensor([[0.0, 0.0], [2.0, 5.0]]), th.tensor([[9.0, 9.0], [3.0, 1.0]])
    one = ReplayBufferSamples(
        observations=th.tensor([0]),
        actions=th.tensor([[0]]),
        next_observations=th.tensor([1]),
        dones=th.zeros(1, 1),
        rewards=th.ones(1, 1),
    )
    loss = temporal_difference_loss(
        one, lambda s: online[s], lambda s: target[s], gamma=0.9, double_q=double_q
    )
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("double_q", [False, True])
def test_only_the_online_values_of_what_was_done_get_a_gradient(double_q: bool) -> None:
    online, target = tables(1)
    target.requires_grad_()
    done_once = ReplayBufferSamples(
        observations=th.tensor([2]),
        actions=th.tensor([[1]]),
        next_observations=th.tensor([4]),
        dones=th.zeros(1, 1),
        rewards=th.ones(1, 1),
    )
    temporal_difference_loss(
        done_once, lambda s: online[s], lambda s: target[s], gamma=GAMMA, double_q=double_q
    ).backward()
    assert target.grad is None
    assert online.grad is not None
    assert [tuple(index) for index in online.grad.nonzero().tolist()] == [(2, 1)]
