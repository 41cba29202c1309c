"""A model that plays, built without its env being touched; first of all without its memory."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Plan:
    """What a model is built from.

    :param algorithm: its class.
    :param policy: class of its policy.
    :param observation_space: as SB3 gives it to the policy: images channels first.
    :param action_space: of the env.
    :param env: wrapped as SB3 wraps it, None: the model only plays what it is shown.
    :param policy_kwargs: of the policy.
    :param kwargs: of the algorithm.
    """

    algorithm: type[BaseAlgorithm]
    policy: type[BasePolicy]
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    env: VecEnv | None
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def plan_state(plan: Plan) -> dict[str, th.Tensor]:
    """Return the policy's state dict, its tensors without memory."""
    with th.device("meta"), _WithoutMemory():
        return dict(_set_up(plan, "cpu").policy.state_dict())


def build_model(plan: Plan, device: th.device | str) -> BaseAlgorithm:
    """Return the model with weights of chance; torch's generator stays where it was."""
    with th.random.fork_rng(devices=[]):
        model = _set_up(plan, device)
    model.env = plan.env
    model._vec_normalize_env = None if plan.env is None else unwrap_vec_normalize(plan.env)
    return model


class _WithoutMemory(TorchFunctionMode):
    """Lets policies be built of tensors without memory, where SB3 did not think of them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_meta = bool(args) and isinstance(args[0], th.Tensor) and args[0].is_meta
        if is_meta and func in (th.Tensor.to, th.Tensor.cpu):
            return args[0]  # there is nothing to move
        if is_meta and func is th.Tensor.__bool__:
            return True  # a distribution asks whether its parameters are valid
        return func(*args, **(kwargs or {}))


def _set_up(plan: Plan, device: th.device | str) -> BaseAlgorithm:
    kwargs = {**_smallest_memory(plan.algorithm), **plan.kwargs}
    algorithm: Any = plan.algorithm
    model = algorithm(
        policy=plan.policy,
        env=None,  # spaces are set below; SB3's load does so too
        device=device,
        policy_kwargs=copy.deepcopy(dict(plan.policy_kwargs)),
        _init_setup_model=False,
        **kwargs,
    )
    model.observation_space, model.action_space = plan.observation_space, plan.action_space
    model.n_envs = 1 if plan.env is None else plan.env.num_envs
    # sb3-contrib asks the env for its action space
    model.env = plan.env or SimpleNamespace(action_space=plan.action_space, num_envs=1)
    model._setup_model()
    return model  # type: ignore[no-any-return]


def _smallest_memory(algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return settings with which nothing is kept of the games: the model is to play."""
    if issubclass(algorithm, OffPolicyAlgorithm):
        return {"buffer_size": 1}
    if issubclass(algorithm, OnPolicyAlgorithm):
        has_batches = "batch_size" in inspect.signature(algorithm).parameters
        return {"n_steps": 2, **({"batch_size": 2} if has_batches else {})}
    return {}
