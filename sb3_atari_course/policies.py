"""CNN features extractor for Atari, and CNN policies for DQN and QR-DQN.

Shapes: (B, 4, 84, 84) -> features (B, 512) -> Q-values (B, n_actions). Other algorithms of SB3 can
use :class:`AtariCNN` with ``policy_kwargs=dict(features_extractor_class=AtariCNN)``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import CnnPolicy as QuantileCnnPolicy
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import CnnPolicy, QNetwork
from torch import nn

from sb3_atari_course._common.validation import (
    boolean,
    callers,
    explain_arguments,
    integer_at_least,
    refuse_unknown,
)
from sb3_atari_course.envs import warn_if_stacked_twice

__all__ = ["AtariCNN", "AtariCnnPolicy", "AtariQuantileCnnPolicy"]

#: (channels, kernel, stride) of each convolution; Mnih et al. 2015, Methods, "Model architecture".
NATURE_LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

#: LeakyReLU with TensorFlow's default slope; PyTorch's default is 0.01.
_ACTIVATIONS: dict[str, type[nn.Module] | Any] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(negative_slope=0.2),
}


class AtariCNN(BaseFeaturesExtractor):
    """CNN features extractor: convolutions without padding and one dense layer.

    The default is the network of the DQN paper (SB3's ``NatureCNN``): for (4, 84, 84) its shapes
    are (32, 20, 20), (64, 9, 9), (64, 7, 7), (512,), with 1,684,128 parameters.

    :param observation_space: image observations, channels first, (c, h, w) uint8; SB3 transposes
        them if necessary, and divides by 255.
    :param layers: (channels, kernel, stride) of each convolution, in pixels of its input.
    :param features_dim: number of features, the width of the dense layer.
    :param activation_fn: ``"relu"``, ``"leaky_relu"`` (slope 0.2) or any module class.
    :param weight_init: ``"he"`` for a truncated normal distribution of variance 2 / fan-in and zero
        biases (Keras: ``VarianceScaling(2.0)``), or ``"default"`` for PyTorch's. With PPO, SB3
        applies an orthogonal initialization afterwards unless ``ortho_init=False``.
    :raises ValueError: if the observations are not images, if they are too small for the layers,
        for an unknown name, and for a value out of range.
    :raises TypeError: for an unknown argument, and for a value of the wrong type.
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
        if min(height, width) < smallest_side(layers):
            raise ValueError(
                f"an image of {height} x {width} pixels is too small for the layers {layers!r}"
                f" (channels, kernel, stride), which need at least {smallest_side(layers)} pixels:"
                " increase shape in wrap_atari, or use smaller kernels and strides"
            )
        warn_if_stacked_twice(observation_space)
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
        """Return the features of a batch of observations.

        :param observations: (B, c, h, w) float32 in [0, 1].
        :return: (B, features_dim) float32.
        """
        features: th.Tensor = self.linear(self.cnn(observations))
        return features


def smallest_side(layers: Sequence[Sequence[int]]) -> int:
    """Return the smallest input side, in pixels, that gives one output pixel after ``layers``.

    >>> smallest_side(NATURE_LAYERS)
    36
    """
    side = 1
    for _, kernel, stride in reversed(layers):
        side = (side - 1) * stride + kernel
    return side


class DuelingQNetwork(QNetwork):
    """Dueling Q-network: Q(s, a) = V(s) + A(s, a) - mean over a of A(s, a).

    Source: Wang et al. 2016, equation 9. The paper has separate dense layers of 512 units for V and
    A; here both use the same features, with half the weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # q_net becomes the advantage
        self.value_net = nn.Sequential(
            *create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn)
        )

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """Return Q-values, (B, n_actions) float32."""
        assert self.features_extractor is not None
        features = self.extract_features(obs, self.features_extractor)
        advantage: th.Tensor = self.q_net(features)
        value: th.Tensor = self.value_net(features)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class AtariCnnPolicy(CnnPolicy):
    """CNN policy for DQN on :class:`AtariCNN`, optionally dueling.

    :class:`AtariCNN` is also used if ``policy_kwargs`` do not name a features extractor, like those
    sampled by Optuna. In an RL Zoo yml file::

        policy: sb3_atari_course.policies.AtariCnnPolicy
        policy_kwargs: {dueling: true}

    :param observation_space: image observations, see :class:`AtariCNN`.
    :param action_space: a discrete action space.
    :param lr_schedule: learning rate as a function of the remaining progress, 1 to 0.
    :param net_arch: widths of dense layers between features and Q-values; none by default.
    :param features_extractor_class: class of the features extractor.
    :param dueling: use separate value and advantage heads, see :class:`DuelingQNetwork`.
    :param kwargs: further arguments of SB3's DQN ``CnnPolicy``, e.g. ``features_extractor_kwargs``
        for :class:`AtariCNN`.
    :raises TypeError: for an algorithm other than DQN, for an unknown argument, if ``dueling`` is
        not a bool.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        *,
        features_extractor_class: type[BaseFeaturesExtractor] = AtariCNN,
        dueling: bool = False,
        **kwargs: Any,
    ) -> None:
        _refuse_for(self, QRDQN, "AtariQuantileCnnPolicy")
        _refuse_unknown(AtariCnnPolicy, kwargs, CnnPolicy)
        self.dueling = boolean("dueling", dueling)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            [] if net_arch is None else net_arch,
            features_extractor_class=features_extractor_class,
            **kwargs,
        )

    def make_q_net(self) -> QNetwork:
        """Build a Q-network; SB3 calls this for the online and for the target network."""
        if not self.dueling:
            return super().make_q_net()
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingQNetwork(**net_args).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "dueling": self.dueling}


class AtariQuantileCnnPolicy(QuantileCnnPolicy):
    """CNN policy for QR-DQN on :class:`AtariCNN`; see :class:`AtariCnnPolicy`.

    :param observation_space: image observations, see :class:`AtariCNN`.
    :param action_space: a discrete action space.
    :param lr_schedule: learning rate as a function of the remaining progress, 1 to 0.
    :param n_quantiles: number of quantiles of the return per action.
    :param net_arch: widths of dense layers between features and quantiles; none by default.
    :param features_extractor_class: class of the features extractor.
    :param kwargs: further arguments of sb3-contrib's QR-DQN ``CnnPolicy``.
    :raises TypeError: for an algorithm other than QR-DQN, and for an unknown argument.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        n_quantiles: int = 200,
        net_arch: list[int] | None = None,
        *,
        features_extractor_class: type[BaseFeaturesExtractor] = AtariCNN,
        **kwargs: Any,
    ) -> None:
        _refuse_for(self, DQN, "AtariCnnPolicy")
        _refuse_unknown(AtariQuantileCnnPolicy, kwargs, QuantileCnnPolicy)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            n_quantiles,
            [] if net_arch is None else net_arch,
            features_extractor_class=features_extractor_class,
            **kwargs,
        )


def _refuse_for(policy: BasePolicy, other: type[BaseAlgorithm], its_policy: str) -> None:
    """Raise an error if the policy is made by an on-policy algorithm or by ``other``.

    :param other: an algorithm that the policy is not for.
    :param its_policy: name of the policy for ``other``.
    :raises TypeError: with the policy to use instead.
    """
    for model in callers(BaseAlgorithm):  # type: ignore[type-abstract]
        if model.policy_class is type(policy) and isinstance(model, (other, OnPolicyAlgorithm)):
            raise TypeError(
                f"{type(policy).__name__} is not a policy for {type(model).__name__}: use"
                f" {its_policy} for {other.__name__}, and for other algorithms their CnnPolicy with"
                " policy_kwargs=dict(features_extractor_class=AtariCNN)"
            )


def _refuse_unknown(
    policy: type[BasePolicy], kwargs: dict[str, Any], parent: type[BasePolicy]
) -> None:
    """Raise an error for an argument that neither a policy nor its parent has."""
    own, inherited = (inspect.signature(one).parameters for one in (policy, parent))
    names = [name for name in {**own, **inherited} if name != "kwargs"]
    refuse_unknown(policy.__name__, kwargs, names)


def _image_shape(space: spaces.Space[Any]) -> tuple[int, int, int]:
    """Return (c, h, w) of an image space, channels first."""
    if not is_image_space(space):
        raise ValueError(
            "AtariCNN needs uint8 images of shape (channels, height, width) with bounds 0 and 255,"
            f" got {space}: apply sb3_atari_course.envs.wrap_atari to an Atari game, and pass"
            " norm_obs=False to VecNormalize (SB3's policies already scale images)"
        )
    channels, height, width = space.shape or ()
    if not is_image_space_channels_first(space):  # type: ignore[arg-type]
        raise ValueError(
            f"AtariCNN needs channels first, got shape {space.shape}: apply SB3's VecTransposeImage"
            " to the environment (SB3's algorithms do so automatically)"
        )
    return channels, height, width


def _checked_layers(layers: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return ``layers`` as a nonempty list of triples of positive ints."""
    if not layers or any(not isinstance(one, Sequence) or len(one) != 3 for one in layers):
        raise ValueError(f"layers must be triples (channels, kernel, stride), got {layers!r}")
    checked = []
    for layer in layers:
        channels, kernel, stride = (integer_at_least(1, f"layer {layer}", n) for n in layer)
        checked.append((channels, kernel, stride))
    return checked


def _activation(activation_fn: str | type[nn.Module]) -> Any:
    """Return a function that makes the activation module."""
    if isinstance(activation_fn, type) and issubclass(activation_fn, nn.Module):
        return activation_fn
    if not isinstance(activation_fn, str) or activation_fn not in _ACTIVATIONS:
        raise ValueError(
            f"activation_fn must be one of {sorted(_ACTIVATIONS)} or a module class,"
            f" got {activation_fn!r}"
        )
    return _ACTIVATIONS[activation_fn]


def _init_he(module: nn.Module) -> None:
    """Initialize a layer's weights with variance 2 / fan-in; He et al. 2015, equation 10."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        fan_in = module.weight[0].numel()
        # truncation at two standard deviations multiplies the deviation by 0.8796
        std = math.sqrt(2.0 / fan_in) / 0.87962566
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
