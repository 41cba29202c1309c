"""From stacked screens to features: the network of the DQN paper, (B, 4, 84, 84) -> (B, 512)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_atari_course._common.validation import (
    explain_arguments,
    integer_at_least,
)
from sb3_atari_course.envs import warn_if_model_stacks_twice

#: (channels, kernel, stride) of each convolution; Mnih et al. 2015, Methods, "Model architecture".
NATURE_LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

#: TensorFlow's slope, with which seed notebooks of 2020 trained; PyTorch's own default is 0.01.
_ACTIVATIONS: dict[str, type[nn.Module] | Any] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(negative_slope=0.2),
}


class AtariCNN(BaseFeaturesExtractor):
    """Convolutions and one dense layer: from stacked screens to features.

    Without padding. The default is the network of the DQN paper; for (4, 84, 84) the shapes are
    (32, 20, 20), (64, 9, 9), (64, 7, 7), (512,), 1,684,128 parameters.

    :param observation_space: images, channels first, (c, h, w) uint8; SB3 transposes them if need
        be, and divides by 255.
    :param layers: (channels, kernel, stride) of each convolution, in pixels of its input.
    :param features_dim: width of the dense layer.
    :param activation_fn: ``"relu"``, ``"leaky_relu"`` (slope 0.2) or any module class.
    :param weight_init: ``"he"``, a truncated normal of variance 2 / fan-in and zero biases (Keras:
        VarianceScaling(2.0)), or ``"default"``, PyTorch's. With PPO, SB3 initialises orthogonally
        afterwards unless ``ortho_init=False``.
    :raises ValueError: if the observations are no images, if the screen is too small for the
        kernels, for an unknown name.
    :raises TypeError: for an unknown argument.
    """

    @explain_arguments
    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        layers: Sequence[Sequence[int]] = NATURE_LAYERS,
        features_dim: int = 512,
        activation_fn: str | type[nn.Module] = "relu",
        weight_init: Literal["he", "default"] = "default",
    ) -> None:
        channels, height, width = _image_shape(observation_space)
        super().__init__(observation_space, integer_at_least(1, "features_dim", features_dim))
        layers = _checked_layers(layers)
        _refuse_small_screen(height, width, layers)
        warn_if_model_stacks_twice("AtariCNN", channels)
        make_activation = _activation(activation_fn)

        modules: list[nn.Module] = []
        for n_channels, kernel, stride in layers:
            modules += [nn.Conv2d(channels, n_channels, kernel, stride), make_activation()]
            height, width = (1 + (side - kernel) // stride for side in (height, width))
            channels = n_channels
        self.cnn = nn.Sequential(*modules, nn.Flatten())
        self.linear = nn.Sequential(
            nn.Linear(channels * height * width, features_dim), make_activation()
        )
        if weight_init == "he":
            self.apply(_init_he)
        elif weight_init != "default":
            raise ValueError(f"weight_init must be 'he' or 'default', got {weight_init!r}")

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Return features, (B, features_dim) float32, of (B, c, h, w) float32 in [0, 1]."""
        features: th.Tensor = self.linear(self.cnn(observations))
        return features


def smallest_side(layers: Sequence[Sequence[int]]) -> int:
    """Return the smallest side in pixels that leaves one output pixel after ``layers``.

    >>> smallest_side(NATURE_LAYERS)
    36
    """
    side = 1
    for _, kernel, stride in reversed(layers):
        side = (side - 1) * stride + kernel
    return side


def _image_shape(space: spaces.Space[Any]) -> tuple[int, int, int]:
    """Return (c, h, w) of an image space, channels first."""
    if not is_image_space(space):
        raise ValueError(
            "AtariCNN needs uint8 images of shape (channels, height, width), 0 to 255, got"
            f" {space}: {_remedy(space)}"
        )
    channels, height, width = space.shape or ()
    if not is_image_space_channels_first(space):  # type: ignore[arg-type]
        raise ValueError(
            f"AtariCNN needs channels first, got shape {space.shape}: put SB3's VecTransposeImage"
            " around the environment (SB3's algorithms do so by themselves)"
        )
    return channels, height, width


def _remedy(space: spaces.Space[Any]) -> str:
    """Return what to do with observations that are no images."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return "for an Atari game put sb3_atari_course.envs.wrap_atari around it"
    if space.dtype == np.uint8:
        return "give the space the bounds 0 and 255"
    return (
        "pass norm_obs=False to VecNormalize (SB3's policies scale uint8 images already);"
        " an environment with images of floats must show them as uint8 images, or take SB3's own"
        " network: 'CnnPolicy' with policy_kwargs=dict(normalize_images=False)"
    )


def _checked_layers(layers: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return ``layers`` as triples of positive ints, at least one."""
    if not layers or any(not isinstance(one, Sequence) or len(one) != 3 for one in layers):
        raise ValueError(f"layers must be triples (channels, kernel, stride), got {layers!r}")
    checked = []
    for layer in layers:
        channels, kernel, stride = (integer_at_least(1, f"layer {layer}", n) for n in layer)
        checked.append((channels, kernel, stride))
    return checked


def _refuse_small_screen(height: int, width: int, layers: Sequence[Sequence[int]]) -> None:
    smallest = smallest_side(layers)
    if min(height, width) < smallest:
        raise ValueError(
            f"a screen of {height} x {width} pixels is too small for the layers {layers!r}"
            f" (channels, kernel, stride): the smallest side they can read is {smallest} pixels;"
            " enlarge shape in wrap_atari, or choose smaller kernels and strides"
        )


def _activation(activation_fn: str | type[nn.Module]) -> Any:
    """Return a callable that makes the activation module."""
    if isinstance(activation_fn, type) and issubclass(activation_fn, nn.Module):
        return activation_fn
    if not isinstance(activation_fn, str) or activation_fn not in _ACTIVATIONS:
        raise ValueError(
            f"activation_fn must be one of {sorted(_ACTIVATIONS)} or a module class,"
            f" got {activation_fn!r}"
        )
    return _ACTIVATIONS[activation_fn]


def _init_he(module: nn.Module) -> None:
    """Draw a layer's weights with variance 2 / fan-in; He et al. 2015, equation 10."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        fan_in = module.weight[0].numel()
        # a normal truncated at two deviations keeps 0.8796 of its deviation
        std = math.sqrt(2.0 / fan_in) / 0.87962566
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
