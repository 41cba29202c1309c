"""Which classes may a file name? Listed here, or known to SB3; none is ever imported by name."""

from __future__ import annotations

from collections.abc import Mapping

from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from torch import nn

from sb3_atari_course.policies import AtariCNN, AtariCnnPolicy, AtariQuantileCnnPolicy
from sb3_atari_course.zoo.algorithms import OUR_ALGORITHMS

_OUR_POLICIES: tuple[type[BasePolicy], ...] = (AtariCnnPolicy, AtariQuantileCnnPolicy)
_EXTRACTORS = (AtariCNN, CombinedExtractor, FlattenExtractor, NatureCNN)
_ACTIVATIONS = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)


def dotted(cls: type) -> str:
    """Return the import path of a class.

    >>> dotted(AtariCNN)
    'sb3_atari_course.policies.AtariCNN'
    """
    return f"{cls.__module__}.{cls.__qualname__}"


#: Import path -> class; older files name AtariCNN by its alias.
EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    **{dotted(cls): cls for cls in _EXTRACTORS},
    "sb3_atari_course.cnn.AtariCNN": AtariCNN,
}
#: Import path, as ``torch.nn.Tanh`` too -> class.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    name: cls for cls in _ACTIVATIONS for name in (dotted(cls), f"torch.nn.{cls.__qualname__}")
}


def algorithms() -> dict[str, type[BaseAlgorithm]]:
    """Return all that RL Zoo knows, ours too: name -> class."""
    return {**ALGOS, **OUR_ALGORITHMS}


def policies(algorithm: type[BaseAlgorithm]) -> dict[str, type[BasePolicy]]:
    """Return the policies that a file may name: SB3's short names and import paths -> class."""
    aliases = dict(algorithm.policy_aliases)
    theirs = tuple(aliases.values())
    ours = [cls for cls in _OUR_POLICIES if issubclass(cls, theirs)]
    return {**aliases, **{dotted(cls): cls for cls in (*theirs, *ours)}}


#: Tensors' names that begin so -> the algorithm that plays them; the first that fits is taken.
#: A2C and TRPO have PPO's network, and play as PPO does; FastDQN has DQN's.
_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("q_net.", "q_net_target."), "dqn"),
    (("quantile_net.", "quantile_net_target."), "qrdqn"),
    (("values", "visits"), "q_learning"),
    (("lstm_actor.", "action_net.", "value_net."), "ppo_lstm"),
    (("action_net.", "value_net."), "ppo"),
    (("action_net.",), "ars"),
    (("actor.log_std", "critic.qf0.", "critic_target."), "sac"),
    (("actor.log_std", "critic.qf0."), "crossq"),
    (("actor_target.", "critic.qf1."), "td3"),
    (("actor_target.", "critic.qf0."), "ddpg"),
)


def guess_algorithm(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return RL Zoo's name of an algorithm that has such tensors, None if there is none.

    >>> guess_algorithm({"q_net.q_net.0.bias": (4,), "q_net_target.q_net.0.bias": (4,)})
    'dqn'
    """
    for prefixes, algorithm in _SIGNS:
        if all(any(name.startswith(prefix) for name in shapes) for prefix in prefixes):
            return "tqc" if algorithm == "sac" and _has_quantiles(shapes) else algorithm
    return None


def _has_quantiles(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether a critic has several outputs, as TQC's; SAC's has one."""
    biases = [
        shape
        for name, shape in shapes.items()
        if name.startswith("critic.qf0.") and name.endswith(".bias")
    ]
    return bool(biases) and biases[-1] != (1,)
