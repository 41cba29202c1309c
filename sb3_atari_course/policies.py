"""From features to decisions: the Q-networks of DQN and QR-DQN, (B, 512) -> (B, n_actions)."""

from __future__ import annotations

import inspect
from typing import Any

import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import CnnPolicy as QuantileCnnPolicy
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import CnnPolicy, QNetwork
from torch import nn

from sb3_atari_course._common.validation import boolean, callers, refuse_unknown
from sb3_atari_course.cnn import AtariCNN


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
        if model.policy_class is not type(policy):
            continue
        name, remedy = type(model).__name__, f"take {its_policy}"
        if isinstance(model, OnPolicyAlgorithm):
            of_cnn = next(key for key in model.policy_aliases if key.startswith("Cnn"))
            extractor = "policy_kwargs=dict(features_extractor_class=AtariCNN)"
            remedy = f"take its own on our network, {name}({of_cnn!r}, env, {extractor})"
        elif not isinstance(model, other):
            continue
        raise TypeError(f"{type(policy).__name__} is not a policy for {name}: {remedy}")


def _refuse_unknown(
    policy: type[BasePolicy], kwargs: dict[str, Any], parent: type[BasePolicy]
) -> None:
    """Raise an error if neither a policy nor its parent has an argument."""
    own, inherited = (inspect.signature(one).parameters for one in (policy, parent))
    names = [name for name in {**own, **inherited} if name != "kwargs"]
    refuse_unknown(policy.__name__, kwargs, names)
