"""Batches in another order of memory: the same values, the same Q-values."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_course.fast_dqn.images import q_function, with_channels_last
from sb3_atari_course.replay.stacks import CV_MAX_CHANNELS
from tests.fakes import FakeGame


def batch(observations: Any) -> ReplayBufferSamples:
    rest = [th.zeros(1, 1)] * 3
    return ReplayBufferSamples(observations, rest[0], observations.flip(0), *rest[1:])


@pytest.mark.parametrize("shape", [(6, 4, 10, 7), (1, 2, 5, 5), (3, 12, 4, 4)])
def test_values_stay_and_channels_lie_side_by_side(shape: tuple[int, ...]) -> None:
    images = th.randint(256, shape, dtype=th.uint8, generator=th.Generator().manual_seed(0))
    turned = with_channels_last(batch(images))
    for before, after in zip(batch(images), turned, strict=True):
        assert (before is None and after is None) or th.equal(before, after)
    for after in (turned.observations, turned.next_observations):
        assert after.is_contiguous(memory_format=th.channels_last)
        assert after.stride()[1] == 1


@pytest.mark.parametrize(
    "others",
    [
        th.zeros(4, 3),  # no images
        th.zeros(2, 4, 5, 5),  # floats
        th.zeros(2, 1, 5, 5, dtype=th.uint8),  # one channel: nothing to turn
        th.zeros(1, CV_MAX_CHANNELS + 1, 1, 1, dtype=th.uint8),
        th.zeros(2, 5, 5, 4, dtype=th.uint8).permute(0, 3, 1, 2),  # they lie so already
    ],
)
def test_others_are_returned_as_they_are(others: th.Tensor) -> None:
    assert with_channels_last(batch(others)).observations is others


def test_a_q_function_of_images_is_the_network() -> None:
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
    assert q_net.normalize_images  # the network itself goes on scaling


def test_other_observations_go_into_the_network_as_they_are() -> None:
    q_net = make_q_net("MlpPolicy", spaces.Box(-1, 1, (3,)))
    assert q_function(q_net) is q_net
    floats = make_q_net(
        "CnnPolicy", spaces.Box(0, 1, (4, 40, 40), "float32"), normalize_images=False
    )
    assert q_function(floats) is floats


def make_q_net(policy: str, space: spaces.Box, **policy_kwargs: Any) -> Any:
    env = FakeGame()
    env.observation_space = space
    model = DQN(policy, env, buffer_size=1, policy_kwargs=policy_kwargs, seed=0, device="cpu")
    return model.q_net
