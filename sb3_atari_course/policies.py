"""AtariCNN and the policies on it: (B, 4, 84, 84) -> features (B, 512) -> Q-values (B, n_actions).

The Q-networks are those of DQN and QR-DQN; other algorithms of SB3 take :class:`AtariCNN` as
``policy_kwargs=dict(features_extractor_class=AtariCNN)``.
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
        if min(height, width) < smallest_side(layers):
            raise ValueError(
                f"a screen of {height} x {width} pixels is too small for the layers {layers!r}"
                f" (channels, kernel, stride): the smallest side is {smallest_side(layers)} pixels;"
                " enlarge shape in wrap_atari, or choose smaller kernels and strides"
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


class DuelingQNetwork(QNetwork):
    """Q(s, a) = V(s) + A(s, a) - mean over a of A(s, a).

    Source: Wang et al. 2016, equation 9. The paper splits before the dense layer of 512 units, we
    split behind it: both heads read the same features, at half the weights.
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
    """DQN's policy on :class:`AtariCNN`, optionally dueling.

    The network is the policy's own default: ``policy_kwargs`` that name no features extractor,
    Optuna's sampled ones among them, keep it. In a yml: ``policy:
    sb3_atari_course.policies.AtariCnnPolicy``, ``policy_kwargs: {dueling: true}``.

    :param observation_space: images, as :class:`AtariCNN` takes them.
    :param action_space: discrete.
    :param lr_schedule: learning rate of the progress left, 1 to 0.
    :param net_arch: widths of dense layers between the features and the Q-values; none by default.
    :param features_extractor_class: :class:`AtariCNN` unless told.
    :param dueling: estimate value and advantages apart, see :class:`DuelingQNetwork`.
    :param kwargs: of SB3's DQN CnnPolicy, ``features_extractor_kwargs`` for :class:`AtariCNN`
        among them.
    :raises TypeError: for another algorithm than DQN, for an unknown argument, for a ``dueling``
        that is not a bool.
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
        """Build one Q-network; SB3 asks twice, for the online and the target one."""
        if not self.dueling:
            return super().make_q_net()
        net_args = self._update_features_extractor(self.net_args, features_extractor=None)
        return DuelingQNetwork(**net_args).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "dueling": self.dueling}


class AtariQuantileCnnPolicy(QuantileCnnPolicy):
    """QR-DQN's policy on :class:`AtariCNN`; otherwise as :class:`AtariCnnPolicy`.

    :param observation_space: images, as :class:`AtariCNN` takes them.
    :param action_space: discrete.
    :param lr_schedule: learning rate of the progress left, 1 to 0.
    :param n_quantiles: quantiles of the return per action.
    :param net_arch: widths of dense layers between features and quantiles; none by default.
    :param features_extractor_class: :class:`AtariCNN` unless told.
    :param kwargs: of sb3-contrib's QR-DQN CnnPolicy.
    :raises TypeError: for another algorithm than QR-DQN, and for an unknown argument.
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
    """Raise an error if the algorithm that makes a policy is an on-policy or another one.

    :param other: an algorithm with which it is easily confused.
    :param its_policy: the policy for that.
    :raises TypeError: with the policy to take.
    """
    for model in callers(BaseAlgorithm):  # type: ignore[type-abstract]
        if model.policy_class is type(policy) and isinstance(model, (other, OnPolicyAlgorithm)):
            raise TypeError(
                f"{type(policy).__name__} is not a policy for {type(model).__name__}: take"
                f" {its_policy} for {other.__name__}, for others their own for images with"
                " policy_kwargs=dict(features_extractor_class=AtariCNN)"
            )


def _refuse_unknown(
    policy: type[BasePolicy], kwargs: dict[str, Any], parent: type[BasePolicy]
) -> None:
    """Raise an error if neither a policy nor its parent has an argument."""
    own, inherited = (inspect.signature(one).parameters for one in (policy, parent))
    names = [name for name in {**own, **inherited} if name != "kwargs"]
    refuse_unknown(policy.__name__, kwargs, names)


def _image_shape(space: spaces.Space[Any]) -> tuple[int, int, int]:
    """Return (c, h, w) of an image space, channels first."""
    if not is_image_space(space):
        raise ValueError(
            "AtariCNN needs uint8 images of shape (channels, height, width) with the bounds 0 and"
            f" 255, got {space}: for an Atari game put sb3_atari_course.envs.wrap_atari around it,"
            " pass norm_obs=False to VecNormalize (SB3's policies scale images already)"
        )
    channels, height, width = space.shape or ()
    if not is_image_space_channels_first(space):  # type: ignore[arg-type]
        raise ValueError(
            f"AtariCNN needs channels first, got shape {space.shape}: put SB3's VecTransposeImage"
            " around the environment (SB3's algorithms do so by themselves)"
        )
    return channels, height, width


def _checked_layers(layers: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return ``layers`` as triples of positive ints, at least one."""
    if not layers or any(not isinstance(one, Sequence) or len(one) != 3 for one in layers):
        raise ValueError(f"layers must be triples (channels, kernel, stride), got {layers!r}")
    checked = []
    for layer in layers:
        channels, kernel, stride = (integer_at_least(1, f"layer {layer}", n) for n in layer)
        checked.append((channels, kernel, stride))
    return checked


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
