"""Loading an agent's file without running anything that it holds."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

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

from sb3_atari_course._common.validation import check_cuda_device, integer_at_least
from sb3_atari_course.agents.agent_card import check_fingerprint, find_card, read_space
from sb3_atari_course.agents.policy_settings import (
    UnknownSettingError,
    algorithms,
    policies,
    read_chance,
    read_policy_class,
    read_policy_kwargs,
)
from sb3_atari_course.agents.weights import (
    AgentFileError,
    Weights,
    compare,
    find_agent,
    parse_json,
    read_file,
    read_members,
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


#: Of a file, in bytes; twenty times an Atari agent. Opening takes up to four times the file.
MAX_BYTES = 192 * 2**20
#: Of SB3's settings in it; larger ones (many envs' last screens, pickled) are not looked at.
_MAX_DATA = 8 * 2**20

T = TypeVar("T")


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
    as when the model was saved, if the card or the file says so readably, and else there are none.

    Optimiser, memory and counters start anew, with the smallest memory that there is: to go on
    with a training use a checkpoint. A VecNormalize's averages are not in this file.

    :param path: of the file, ``.zip`` may be left out; or of a folder with exactly one. A link is
        followed.
    :param env: whose spaces the agent has; never reset or stepped. Not needed with a card.
    :param algorithm: RL Zoo's name ("dqn", "q_learning") or the class.
    :param policy: its name ("CnnPolicy", "sb3_atari_course.policies.AtariCnnPolicy") or the class.
    :param policy_kwargs: all of them, as it was trained with, instead of those in card and file.
    :param device: "auto", "cpu" or "cuda".
    :param max_bytes: largest file, in bytes; larger ones are refused before they are read.
    :param kwargs: of the algorithm's constructor: ``buffer_size``, say.
    :raises FileNotFoundError: if there is no such file.
    :raises AgentFileError: for a file that is damaged, hostile or of another environment, and if
        it remains open what it is; the message says what to pass.
    :raises ValueError: for an algorithm or policy that is not known.
    """
    check_cuda_device("device", device)
    if isinstance(env, str):
        raise TypeError(f"env is an environment, not its id: gym.make({env!r})")
    max_bytes = integer_at_least(1, "max_bytes", max_bytes)
    agent = find_agent(Path(path))
    content = read_file(agent, max_bytes=max_bytes, remedy="a larger max_bytes allows it")
    members = read_members(content, agent)
    card = find_card(agent)
    if card:
        check_fingerprint(content, agent, card)
    if "policy.pth" not in members:
        raise refuse(agent, "it holds no policy.pth", "is it an agent that SB3 has saved?")
    saved = _readable_settings(members, agent)
    inside = f"{agent}:policy.pth"
    weights = Weights(members["policy.pth"], inside, max_bytes=max_bytes)

    cls = _choose_algorithm(algorithm, card, weights, agent)
    observation_space, action_space, venv = _choose_spaces(env, cls, card, agent)
    plan = Plan(
        cls,
        _choose_policy(policy, cls, card, saved, observation_space, agent),
        observation_space,
        action_space,
        venv,
        _choose_policy_kwargs(policy_kwargs, card, saved, agent),
        {**_exploration(card, saved), **kwargs},
    )
    compare(weights.plan, _attempt(lambda: plan_state(plan), agent), inside)
    model: Any = _attempt(lambda: build_model(plan, device), agent)
    model.policy.load_state_dict(weights.read())
    if hasattr(model, "exploration_rate"):
        rate = card.get("exploration_rate", saved.get("exploration_rate", 0.0))
        model.exploration_rate = _settled(lambda: read_chance("exploration_rate", rate), agent)
    return model  # type: ignore[no-any-return]


def _readable_settings(members: dict[str, bytes], agent: Path) -> dict[str, Any]:
    data = members.get("data", b"")
    if not data or len(data) > _MAX_DATA:
        return {}
    return parse_json(data, f"{agent}:data")


def _choose_algorithm(
    asked: str | type[BaseAlgorithm] | None, card: dict[str, Any], weights: Weights, agent: Path
) -> type[BaseAlgorithm]:
    if isinstance(asked, type) and issubclass(asked, BaseAlgorithm):
        return asked
    known = algorithms()
    if asked is not None and (not isinstance(asked, str) or asked not in known):
        raise ValueError(f"algorithm must be one of {sorted(known)} or a class, got {asked!r}")
    name = asked or card.get("algorithm") or _guess_algorithm(weights)
    if name is None:
        first = sorted(weights.plan)[:3]
        raise refuse(
            agent, f"no algorithm is known that has tensors like {first}", "pass algorithm="
        )
    return known[name]


def _guess_algorithm(weights: Weights) -> str | None:
    """Return RL Zoo's name of the algorithm whose first tensor has such a name."""
    first = next(iter(sorted(weights.plan))).partition(".")[0]
    return {"q_net": "dqn", "quantile_net": "qrdqn", "values": "q_learning"}.get(first)


def _choose_spaces(
    env: GymEnv | None, algorithm: type[BaseAlgorithm], card: dict[str, Any], agent: Path
) -> tuple[spaces.Space[Any], spaces.Space[Any], VecEnv | None]:
    names = ("observation_space", "action_space")
    told = {name: read_space(card[name]) for name in names if name in card}
    if env is None:
        if len(told) != len(names):
            raise refuse(agent, "it does not say what its agent sees and does", "pass env=")
        return told["observation_space"], told["action_space"], None
    venv = algorithm._wrap_env(env)
    for name, space in told.items():
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
    card: dict[str, Any],
    saved: dict[str, Any],
    observation_space: spaces.Space[Any],
    agent: Path,
) -> type[BasePolicy]:
    known = policies(algorithm)
    if isinstance(asked, type) and issubclass(asked, BasePolicy):
        return asked
    if asked is not None and (not isinstance(asked, str) or asked not in known):
        raise ValueError(f"policy must be one of {sorted(known)} or a class, got {asked!r}")
    name = asked or card.get("policy")
    if name is None:
        described = _settled(lambda: read_policy_class(saved.get("policy_class"), algorithm), agent)
        if described is not None:
            return described
        name = _usual_policy(known, observation_space)
    if name not in known:
        raise refuse(agent, f"its policy {name!r} is not known for this algorithm", "pass policy=")
    return known[name]


def _usual_policy(known: dict[str, Any], observation_space: spaces.Space[Any]) -> str | None:
    """Return SB3's short name of the policy for such observations."""
    kind = "MultiInput" if isinstance(observation_space, spaces.Dict) else "Mlp"
    kind = "Cnn" if is_image_space(observation_space) else kind
    short = [name for name in known if "." not in name]
    if len(short) == 1:
        return short[0]
    return next((name for name in short if name.startswith(kind)), None)


def _choose_policy_kwargs(
    asked: Mapping[str, Any] | None, card: dict[str, Any], saved: dict[str, Any], agent: Path
) -> dict[str, Any]:
    if asked is not None:
        if not isinstance(asked, Mapping):
            raise TypeError(f"policy_kwargs must be a mapping, got {asked!r}")
        return dict(asked)
    plain = card.get("policy_kwargs", saved.get("policy_kwargs", {}))
    return _settled(lambda: read_policy_kwargs(plain), agent)


def _exploration(card: dict[str, Any], saved: dict[str, Any]) -> dict[str, bool]:
    """Return whether actions are drawn by gSDE, which changes what the network is."""
    return {"use_sde": True} if card.get("use_sde", saved.get("use_sde", False)) is True else {}


def _settled(read: Callable[[], T], agent: Path) -> T:
    """Return what a file says; an unknown name in it is an error with a remedy."""
    try:
        return read()
    except UnknownSettingError as error:
        remedy = "pass policy= and policy_kwargs= as it was trained with"
        raise refuse(agent, error, remedy) from None


def _attempt(build: Callable[[], T], agent: Path) -> T:
    """Return what is built of a file's settings; whatever fails in SB3 is the file's fault."""
    try:
        return build()
    except (AgentFileError, MemoryError):
        raise
    except Exception as error:
        raise refuse(
            agent,
            f"its policy cannot be built for this env ({type(error).__name__}: {error})",
            "pass the env, algorithm=, policy= and policy_kwargs= that it was trained with",
        ) from error
