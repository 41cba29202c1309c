"""Loading an agent's file without running anything that it holds."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize
from torch.overrides import TorchFunctionMode

from sb3_atari_course._common.validation import check_cuda_device, integer_at_least, probability
from sb3_atari_course.agents.agent_card import (
    CARD,
    algorithms,
    check_fingerprint,
    policies,
    read_card,
    read_policy_class,
    read_policy_kwargs,
    read_space,
)
from sb3_atari_course.agents.weights import (
    find_agent,
    parse_json,
    read_file,
    read_members,
    read_weights,
    refuse,
)


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
    policy_kwargs: Mapping[str, Any]
    kwargs: Mapping[str, Any]


def check_fit(plan: Plan, weights: Mapping[str, th.Tensor]) -> None:
    """Raise an error unless weights are those of a policy, which is built without any RAM.

    :raises RuntimeError: by torch, naming what is missing, too many or of another shape.
    :raises TypeError: naming a tensor of another type, which torch would convert.
    """
    with th.device("meta"), _WithoutMemory():
        policy = _set_up(plan, "cpu").policy
    policy.load_state_dict({name: one.to("meta") for name, one in weights.items()})
    for name, wanted in policy.state_dict().items():
        if weights[name].dtype != wanted.dtype:
            raise TypeError(f"{name} is of {weights[name].dtype}, the policy needs {wanted.dtype}")


def build_model(plan: Plan, device: th.device | str) -> Any:
    """Return the model with random weights; torch's generator stays where it was."""
    with th.random.fork_rng(devices=[]):
        model = _set_up(plan, device)
    model.env = plan.env
    model._vec_normalize_env = None if plan.env is None else unwrap_vec_normalize(plan.env)
    return model


class _WithoutMemory(TorchFunctionMode):
    """Lets policies be built of tensors on the meta device, where SB3 does not expect them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_meta = bool(args) and isinstance(args[0], th.Tensor) and args[0].is_meta
        if is_meta and func in (th.Tensor.to, th.Tensor.cpu):
            return args[0]  # there is nothing to move
        if is_meta and func is th.Tensor.__bool__:
            return True  # a distribution asks whether its parameters are valid
        return func(*args, **(kwargs or {}))


def _set_up(plan: Plan, device: th.device | str) -> Any:
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
    return model


def _smallest_memory(algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return settings with which nothing is kept of the games: the model is to play."""
    if issubclass(algorithm, OffPolicyAlgorithm):
        return {"buffer_size": 1}
    if issubclass(algorithm, OnPolicyAlgorithm):
        has_batches = "batch_size" in inspect.signature(algorithm).parameters
        return {"n_steps": 2, **({"batch_size": 2} if has_batches else {})}
    return {}


#: Of a file, in bytes; twenty times an Atari agent. Opening takes up to four times the file.
MAX_BYTES = 192 * 2**20
#: Of SB3's settings in it; larger ones (many envs' last screens, pickled) are not looked at.
_MAX_DATA = 8 * 2**20


def load_agent(
    path: str | os.PathLike[str],
    env: GymEnv | None = None,
    *,
    algorithm: str | type[BaseAlgorithm] | None = None,
    policy: str | type[BasePolicy] | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    device: th.device | str = "auto",
    max_bytes: int = MAX_BYTES,
    **kwargs: Any,
) -> BaseAlgorithm:
    """Return the agent of an SB3 ``.zip``, ready to play as SB3's own ``load`` would return it.

    Nothing in the file is unpickled: weights are read from ``policy.pth`` by torch's
    ``weights_only``, after their description was checked; optimisers and pickled settings are
    never opened. What the policy is, is taken from the arguments, else from ``card.json`` beside
    the file, else from the readable part of SB3's settings. The algorithm is guessed from the
    names of the tensors for "dqn" (FastDQN's too, which plays alike), "qrdqn" and "q_learning";
    others need ``algorithm=`` or a card. Random actions (``deterministic=False``) are as frequent
    as when the model was saved, if the card or the file holds that in readable form, else there are
    none.

    Optimiser, replay buffer and counters start over, with the smallest replay buffer that there is:
    resume a training from a checkpoint. A VecNormalize's averages are not in this file.

    :param path: of the file, ``.zip`` may be left out; or of a folder with exactly one. A link is
        followed.
    :param env: whose spaces the agent has; never reset or stepped. Not needed with a card.
    :param algorithm: RL Zoo's name ("dqn", "q_learning") or the class.
    :param policy: its name ("CnnPolicy", "sb3_atari_course.policies.AtariCnnPolicy") or the class.
    :param policy_kwargs: all of them, as it was trained with, instead of those in card and file.
    :param device: "auto", "cpu" or "cuda".
    :param max_bytes: largest file, in bytes; larger ones are refused before they are read.
    :param kwargs: of the algorithm's constructor: ``buffer_size``, for example.
    :raises FileNotFoundError: if there is no such file.
    :raises AgentFileError: for a file that is damaged, hostile or of another environment, and if
        it remains unknown what it is; the message names what to pass.
    :raises ValueError: for an algorithm or policy that is not known.
    """
    check_cuda_device("device", device)
    if isinstance(env, str):
        raise TypeError(f"env is an environment, not its id: gym.make({env!r})")
    if not isinstance(policy_kwargs, Mapping | None):
        raise TypeError(f"policy_kwargs must be a mapping, got {policy_kwargs!r}")
    max_bytes = integer_at_least(1, "max_bytes", max_bytes)
    agent = find_agent(Path(path))
    content = read_file(agent, max_bytes=max_bytes, remedy="a larger max_bytes allows it")
    members = read_members(content, agent)
    card = _card_beside(agent, content)
    if "policy.pth" not in members:
        raise refuse(agent, "it holds no policy.pth", "is it an agent that SB3 has saved?")
    described = {**_readable_settings(members, agent), **card}
    inside = f"{agent}:policy.pth"
    weights = read_weights(members["policy.pth"], inside, max_bytes=max_bytes)

    cls = _choose_algorithm(algorithm, card, weights, agent)
    observation_space, action_space, venv = _choose_spaces(env, cls, card, agent)
    as_trained = "pass the env, algorithm=, policy= and policy_kwargs= as it was trained with"
    try:
        rate = probability("exploration_rate", described.get("exploration_rate", 0.0))
        if policy_kwargs is None:
            policy_kwargs = read_policy_kwargs(described.get("policy_kwargs", {}))
        policy_class = _choose_policy(policy, cls, described, observation_space)
    except (TypeError, ValueError) as error:
        raise refuse(agent, error, as_trained) from None
    if described.get("use_sde") is True:  # with gSDE the network is another one
        kwargs = {"use_sde": True, **kwargs}
    plan = Plan(
        cls, policy_class, observation_space, action_space, venv, dict(policy_kwargs), kwargs
    )
    try:
        check_fit(plan, weights)
        model = build_model(plan, device)
    except MemoryError:
        raise
    except Exception as error:  # whatever fails in SB3 or torch is the file's fault
        raise refuse(inside, error, f"another environment or policy; {as_trained}") from error
    model.policy.load_state_dict(weights)
    if hasattr(model, "exploration_rate"):
        model.exploration_rate = rate
    return model  # type: ignore[no-any-return]


def _card_beside(agent: Path, content: bytes) -> dict[str, Any]:
    """Return the card beside an agent's zip, which must be of this file; empty without one."""
    path = agent.with_name(CARD)
    if not path.exists():
        return {}
    card = read_card(path)
    check_fingerprint(content, agent, card)
    return card


def _readable_settings(members: dict[str, bytes], agent: Path) -> dict[str, Any]:
    """Return the readable part of SB3's settings: what is not pickled in them."""
    data = members.get("data", b"")
    if not data or len(data) > _MAX_DATA:
        return {}
    settings = parse_json(data, f"{agent}:data")
    names = ("policy_class", "policy_kwargs", "use_sde", "exploration_rate")
    return {name: settings[name] for name in names if name in settings}


def _choose_algorithm(
    asked: str | type[BaseAlgorithm] | None,
    card: dict[str, Any],
    weights: dict[str, th.Tensor],
    agent: Path,
) -> type[BaseAlgorithm]:
    if isinstance(asked, type) and issubclass(asked, BaseAlgorithm):
        return asked
    known = algorithms()
    if asked is not None and (not isinstance(asked, str) or asked not in known):
        raise ValueError(f"algorithm must be one of {sorted(known)} or a class, got {asked!r}")
    first = min(weights)
    guessed = {"q_net": "dqn", "quantile_net": "qrdqn", "values": "q_learning"}
    name = asked or card.get("algorithm") or guessed.get(first.partition(".")[0])
    if name is None:
        raise refuse(agent, f"no algorithm is known by the tensor {first!r}", "pass algorithm=")
    return known[name]


def _choose_spaces(
    env: GymEnv | None, algorithm: type[BaseAlgorithm], card: dict[str, Any], agent: Path
) -> tuple[spaces.Space[Any], spaces.Space[Any], VecEnv | None]:
    names = ("observation_space", "action_space")
    described = {name: read_space(card[name]) for name in names if name in card}
    if env is None:
        if len(described) != len(names):
            raise refuse(agent, "its observation and action space are unknown", "pass env=")
        return described["observation_space"], described["action_space"], None
    venv = algorithm._wrap_env(env)
    for name, space in described.items():
        if space != getattr(venv, name):
            raise refuse(
                agent,
                f"its card says {name} {space}, the env has {getattr(venv, name)}",
                "pass the env that it was trained on",
            )
    return venv.observation_space, venv.action_space, venv


def _choose_policy(
    asked: str | type[BasePolicy] | None,
    algorithm: type[BaseAlgorithm],
    described: dict[str, Any],
    observation_space: spaces.Space[Any],
) -> type[BasePolicy]:
    if isinstance(asked, type) and issubclass(asked, BasePolicy):
        return asked
    known = policies(algorithm)
    name = described.get("policy") if asked is None else asked
    if name is None:
        named = read_policy_class(described.get("policy_class"), algorithm)
        if named is not None:
            return named
        name = _usual_policy(list(algorithm.policy_aliases), observation_space)
    if name not in known:
        raise ValueError(f"policy must be one of {sorted(known)} or a class, got {name!r}")
    return known[name]


def _usual_policy(names: list[str], observation_space: spaces.Space[Any]) -> str | None:
    """Return SB3's short name of the policy for such observations."""
    if len(names) == 1:
        return names[0]
    kind = "MultiInput" if isinstance(observation_space, spaces.Dict) else "Mlp"
    kind = "Cnn" if is_image_space(observation_space) else kind
    return next((name for name in names if name.startswith(kind)), None)
