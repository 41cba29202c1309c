"""Images on their way into a network: scaled, and in the order that a CPU reads fastest."""

from __future__ import annotations

import copy
from typing import Any

import cv2
import torch as th
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import QNetwork

from sb3_atari_course.fast_dqn.loss import QFunction
from sb3_atari_course.replay.stacks import CV_MAX_CHANNELS


def q_function(q_net: QNetwork) -> QFunction:
    """Return a Q-network as a function of observations, (B, ...) -> (B, n_actions).

    SB3 compares the bounds of the observation space in every call, to see if it holds images; here
    this is done once, so that torch.compile sees the whole computation. Layers that are replaced
    later are used, other attributes are those of now.
    """
    if not (q_net.normalize_images and is_image_space(q_net.observation_space)):
        return q_net
    unscaled = copy.copy(q_net)  # its layers are those of q_net
    unscaled.normalize_images = False

    def q_values(images: th.Tensor) -> th.Tensor:
        values: th.Tensor = unscaled(images.float() / 255.0)
        return values

    return q_values


def with_channels_last(batch: ReplayBufferSamples) -> ReplayBufferSamples:
    """Return the same batch, the channels of its images side by side in memory.

    The backward pass of the first convolution takes half as long so; shapes and values stay.
    Other observations, and those on a card, are returned as they are.
    """
    return batch._replace(
        observations=_channels_last(batch.observations),
        next_observations=_channels_last(batch.next_observations),
    )


def _channels_last(images: Any) -> Any:
    """Return images (B, c, h, w) uint8 in memory as (B, h, w, c); ten times as fast as torch."""
    if not (
        isinstance(images, th.Tensor)
        and images.dtype == th.uint8
        and images.ndim == 4
        and images.device.type == "cpu"
        and images.is_contiguous()
        and 1 < images.shape[1] <= CV_MAX_CHANNELS
    ):
        return images
    n, channels, height, width = images.shape
    planes = images.numpy().reshape(n, channels, height * width)
    pixels = cv2.merge([planes[:, channel] for channel in range(channels)])
    return th.from_numpy(pixels).view(n, height, width, channels).permute(0, 3, 1, 2)
