"""Fast optimisers: the same weights, and nothing of it in a file."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch as th
from torch import nn

from sb3_atari_course.fast_dqn.optimizer import make_fast, plain_state, set_rate


def make_pair(cls: Any, **kwargs: Any) -> tuple[nn.Linear, Any, nn.Linear, Any]:
    """Return two equal layers, each with its optimiser."""
    th.manual_seed(0)
    first = nn.Linear(4, 3)
    second = copy.deepcopy(first)
    settings = {"lr": 0.01, **kwargs}
    return (
        first,
        cls(first.parameters(), **settings),
        second,
        cls(second.parameters(), **settings),
    )


def step(layer: nn.Linear, optimizer: Any, seed: int) -> None:
    optimizer.zero_grad()
    th.manual_seed(seed)
    layer(th.randn(5, 4)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "optimizer_class", [th.optim.Adam, th.optim.AdamW, th.optim.SGD, th.optim.RMSprop]
)
def test_a_fast_optimiser_takes_the_same_steps(optimizer_class: Any) -> None:
    fast_layer, fast, layer, plain = make_pair(optimizer_class)
    for i in range(12):
        if i == 4:  # in the middle of a training
            make_fast(fast)
            assert fast.param_groups[0].get("fused") is (
                None if optimizer_class is th.optim.RMSprop else True
            )
        for one, optimizer in ((fast_layer, fast), (layer, plain)):
            set_rate(optimizer, 0.01 / (i + 1))
            step(one, optimizer, i)
    th.testing.assert_close(fast_layer.state_dict(), layer.state_dict(), rtol=1e-5, atol=1e-6)
    assert not th.equal(layer.weight, make_pair(optimizer_class)[0].weight)


@pytest.mark.parametrize("settings", [{"fused": False}, {"foreach": True}])
def test_what_the_user_chose_stays(settings: dict[str, bool]) -> None:
    _, optimizer, *_ = make_pair(th.optim.Adam, **settings)
    make_fast(optimizer)
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in settings} == settings
    assert not group["fused"]


def test_a_saved_state_is_that_of_a_plain_optimiser() -> None:
    fast_layer, fast, layer, plain = make_pair(th.optim.Adam, weight_decay=0.1)
    make_fast(fast)
    for i in range(3):
        step(fast_layer, fast, i)
        step(layer, plain, i)
    saved, expected = plain_state(fast), plain.state_dict()
    assert saved["param_groups"] == expected["param_groups"]
    th.testing.assert_close(saved["state"], expected["state"], rtol=1e-5, atol=1e-7)
    step(fast_layer, fast, 3)
    assert saved["state"][0]["step"].item() == 3  # what was saved stands still
    assert fast.param_groups[0]["fused"] is True  # the optimiser goes on as it was


def test_a_rate_that_is_a_tensor_stays_the_same_tensor() -> None:
    """A CUDA graph holds its address."""
    _, optimizer, *_ = make_pair(th.optim.Adam)
    rate = optimizer.param_groups[0]["lr"] = th.tensor(0.5)
    set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25
    assert plain_state(optimizer)["param_groups"][0]["lr"] == 0.25
    assert type(plain_state(optimizer)["param_groups"][0]["lr"]) is float


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA card")
def test_on_a_card_it_can_be_captured_and_is_saved_for_a_cpu() -> None:
    layer = nn.Linear(4, 3).cuda()
    optimizer = th.optim.Adam(layer.parameters())
    layer(th.ones(1, 4, device="cuda")).sum().backward()
    optimizer.step()
    make_fast(optimizer)
    group = optimizer.param_groups[0]
    assert (group["fused"], group["capturable"]) == (True, True)
    assert group["lr"].is_cuda
    assert all(state["step"].is_cuda for state in optimizer.state.values())
    saved = plain_state(optimizer)
    assert (saved["param_groups"][0]["fused"], saved["param_groups"][0]["capturable"]) == (
        None,
        False,
    )
    assert not saved["state"][0]["step"].is_cuda
