"""Gradients are clipped as PyTorch clips them."""

from __future__ import annotations

import math

import pytest
import torch as th

from sb3_atari_course.fast_dqn.updates import clip_gradient


def make_weights() -> list[th.Tensor]:
    """Return three weights, two with gradients whose norm is 5."""
    weights = [th.zeros(2, requires_grad=True), th.zeros(1), th.zeros(1, requires_grad=True)]
    weights[0].grad = th.tensor([3.0, 0.0])
    weights[2].grad = th.tensor([-4.0])
    return weights


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 4.999999, 5.0, 5.000001, 5.1, 10.0, math.inf])
def test_a_gradient_is_clipped_as_pytorch_does(max_norm: float) -> None:
    ours, theirs = make_weights(), make_weights()
    clip_gradient(ours, max_norm)
    th.nn.utils.clip_grad_norm_(theirs, max_norm)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.grad is None) == (their.grad is None)
        assert our.grad is None or th.equal(our.grad, their.grad)
    if max_norm == 1.0:
        assert ours[2].grad is not None
        assert ours[2].grad.item() == pytest.approx(-0.8)


def test_a_gradient_that_is_no_number_spoils_the_others_too() -> None:
    """As PyTorch has it: a training that diverges shows it."""
    weights = make_weights()
    assert weights[0].grad is not None
    assert weights[2].grad is not None
    weights[0].grad[0] = math.nan
    clip_gradient(weights, 10.0)
    assert weights[2].grad.isnan().all()
