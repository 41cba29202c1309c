"""Safe loading of SB3 agents: weights are read without unpickling, so no code in a file runs."""

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

from sb3_atari_course._common.validation import check_torch_device, integer_at_least, probability
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
class ModelSpec:
    """Specification of a model: classes, spaces and keyword arguments.

    :param algorithm: class of the algorithm.
    :param policy: class of the policy.
    :param observation_space: as SB3 passes it to the policy: images channels first.
    :param action_space: of the environment.
    :param env: environment wrapped as SB3 wraps it, or None.
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


def check_fit(spec: ModelSpec, weights: Mapping[str, th.Tensor]) -> None:
    """Check that weights fit a policy, which is built on the meta device and so takes no RAM.

    :raises RuntimeError: by torch, naming missing, unexpected or differently shaped tensors.
    :raises TypeError: naming a tensor of another dtype, which torch would convert.
    """
    with th.device("meta"), _MetaDevice():
        policy = _set_up(spec, "cpu").policy
    policy.load_state_dict({name: one.to("meta") for name, one in weights.items()})
    for name, wanted in policy.state_dict().items():
        if weights[name].dtype != wanted.dtype:
            raise TypeError(f"{name} is of {weights[name].dtype}, the policy needs {wanted.dtype}")


def build_model(spec: ModelSpec, device: th.device | str) -> Any:
    """Return the model with random weights, leaving torch's random generator unchanged."""
    with th.random.fork_rng(devices=[]):
        model = _set_up(spec, device)
    model.env = spec.env
    model._vec_normalize_env = None if spec.env is None else unwrap_vec_normalize(spec.env)
    return model


class _MetaDevice(TorchFunctionMode):
    """Torch function mode that makes SB3's constructors work with tensors on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_meta = bool(args) and isinstance(args[0], th.Tensor) and args[0].is_meta
        if is_meta and func in (th.Tensor.to, th.Tensor.cpu):
            return args[0]  # a meta tensor has no data to move
        if is_meta and func is th.Tensor.__bool__:
            return True  # distributions validate their parameters
        return func(*args, **(kwargs or {}))


def _set_up(spec: ModelSpec, device: th.device | str) -> Any:
    kwargs = {**_smallest_buffers(spec.algorithm), **spec.kwargs}
    algorithm: Any = spec.algorithm
    model = algorithm(
        policy=spec.policy,
        env=None,  # spaces are set below, as in SB3's load
        device=device,
        policy_kwargs=copy.deepcopy(dict(spec.policy_kwargs)),
        _init_setup_model=False,
        **kwargs,
    )
    model.observation_space, model.action_space = spec.observation_space, spec.action_space
    model.n_envs = 1 if spec.env is None else spec.env.num_envs
    # sb3-contrib asks the env for its action space
    model.env = spec.env or SimpleNamespace(action_space=spec.action_space, num_envs=1)
    model._setup_model()
    return model


def _smallest_buffers(algorithm: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return arguments that minimize replay and rollout buffers, unused in inference."""
    if issubclass(algorithm, OffPolicyAlgorithm):
        return {"buffer_size": 1}
    if issubclass(algorithm, OnPolicyAlgorithm):
        has_batches = "batch_size" in inspect.signature(algorithm).parameters
        return {"n_steps": 2, **({"batch_size": 2} if has_batches else {})}
    return {}


#: Maximum size of a file, in bytes: 20 Atari agents. Loading takes up to 4 times the file's size.
MAX_BYTES = 192 * 2**20
#: Maximum size of SB3's ``data`` in it, in bytes; larger ones (pickled last observations of many
#: environments) are ignored.
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
    """Load an SB3 ``.zip`` for inference without unpickling, so that no code in the file runs.

    The model predicts like that of SB3's ``load``. Weights are read from ``policy.pth`` with
    torch's ``weights_only``, after its pickle was checked; optimizers and pickled settings are
    ignored. Policy class and ``policy_kwargs`` are taken from the arguments, else from the model
    card ``card.json`` next to the file, else from the readable part of SB3's settings. The
    algorithm is inferred from the names of the tensors for DQN (also FastDQN, whose agents are
    loaded as DQN), QR-DQN and Q-learning; others need ``algorithm`` or a model card. The
    exploration rate, used with ``deterministic=False``, is that in the model card or the file,
    else 0.

    Optimizer, replay buffer (of minimal size) and counters are not restored: to continue training,
    resume from a checkpoint. The statistics of VecNormalize are not in this file.

    :param path: path of the file, with or without ``.zip``, or of a folder with exactly one zip.
        Symbolic links are followed.
    :param env: environment with the agent's spaces, never reset or stepped; not needed with a model
        card.
    :param algorithm: RL Zoo's name, for example ``"dqn"`` or ``"q_learning"``, or the class.
    :param policy: SB3's alias, for example ``"CnnPolicy"``, the import path of a known policy, or
        the class.
    :param policy_kwargs: all of those used in training; they replace those of model card and file.
    :param device: PyTorch device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    :param max_bytes: maximum size of the file, in bytes; larger ones are rejected unread.
    :param kwargs: further arguments of the algorithm's constructor, for example ``buffer_size``.
    :return: the model.
    :raises FileNotFoundError: if the file does not exist.
    :raises AgentFileError: if the file is damaged, malicious, larger than ``max_bytes`` or of
        another environment, or if its policy or spaces are unknown; the message names the argument
        to pass.
    :raises TypeError: if ``env`` is a string, or ``policy_kwargs`` is not a mapping.
    :raises ValueError: for an unknown algorithm or policy, or a CUDA device that does not exist.
    """
    check_torch_device("device", device)
    if isinstance(env, str):
        raise TypeError(f"env must be an environment, got the id {env!r}: pass gym.make({env!r})")
    if not isinstance(policy_kwargs, Mapping | None):
        raise TypeError(f"policy_kwargs must be a mapping, got {policy_kwargs!r}")
    max_bytes = integer_at_least(1, "max_bytes", max_bytes)
    agent = find_agent(Path(path))
    content = read_file(agent, max_bytes=max_bytes, remedy="pass a larger max_bytes")
    members = read_members(content, agent)
    card = _read_own_card(agent, content)
    if "policy.pth" not in members:
        raise refuse(agent, "it contains no policy.pth", "was it saved by SB3's model.save?")
    described = {**_readable_settings(members, agent), **card}
    inside = f"{agent}:policy.pth"
    weights = read_weights(members["policy.pth"], inside, max_bytes=max_bytes)

    cls = _choose_algorithm(algorithm, card, weights, agent)
    observation_space, action_space, venv = _choose_spaces(env, cls, card, agent)
    as_trained = "pass the env, algorithm=, policy= and policy_kwargs= used in training"
    try:
        rate = probability("exploration_rate", described.get("exploration_rate", 0.0))
        if policy_kwargs is None:
            policy_kwargs = read_policy_kwargs(described.get("policy_kwargs", {}))
        policy_class = _choose_policy(policy, cls, described, observation_space)
    except (TypeError, ValueError) as error:
        raise refuse(agent, error, as_trained) from None
    if described.get("use_sde") is True:  # gSDE changes the network
        kwargs = {"use_sde": True, **kwargs}
    spec = ModelSpec(
        cls, policy_class, observation_space, action_space, venv, dict(policy_kwargs), kwargs
    )
    try:
        check_fit(spec, weights)
        model = build_model(spec, device)
    except MemoryError:
        raise
    except Exception as error:  # any exception of SB3 or torch: weights and policy do not fit
        raise refuse(inside, error, f"wrong environment or policy; {as_trained}") from error
    model.policy.load_state_dict(weights)
    if hasattr(model, "exploration_rate"):
        model.exploration_rate = rate
    return model  # type: ignore[no-any-return]


def _read_own_card(agent: Path, content: bytes) -> dict[str, Any]:
    """Return the model card in an agent's folder, checked against its zip; {} without one."""
    path = agent.with_name(CARD)
    if not path.exists():
        return {}
    card = read_card(path)
    check_fingerprint(content, agent, card)
    return card


def _readable_settings(members: dict[str, bytes], agent: Path) -> dict[str, Any]:
    """Return the settings that SB3 saved as plain JSON, not as pickles."""
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
        raise refuse(
            agent, f"the tensor {first!r} does not identify the algorithm", "pass algorithm="
        )
    return known[name]


def _choose_spaces(
    env: GymEnv | None, algorithm: type[BaseAlgorithm], card: dict[str, Any], agent: Path
) -> tuple[spaces.Space[Any], spaces.Space[Any], VecEnv | None]:
    names = ("observation_space", "action_space")
    described = {name: read_space(card[name]) for name in names if name in card}
    if env is None:
        if len(described) != len(names):
            raise refuse(agent, "its observation and action spaces are unknown", "pass env=")
        return described["observation_space"], described["action_space"], None
    venv = algorithm._wrap_env(env)
    for name, space in described.items():
        if space != getattr(venv, name):
            raise refuse(
                agent,
                f"its model card has {name} {space}, the env has {getattr(venv, name)}",
                "pass the env used in training",
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
        name = _default_policy(list(algorithm.policy_aliases), observation_space)
    if name not in known:
        raise ValueError(f"policy must be one of {sorted(known)} or a class, got {name!r}")
    return known[name]


def _default_policy(names: list[str], observation_space: spaces.Space[Any]) -> str | None:
    """Return SB3's alias of the policy for an observation space."""
    if len(names) == 1:
        return names[0]
    kind = "MultiInput" if isinstance(observation_space, spaces.Dict) else "Mlp"
    kind = "Cnn" if is_image_space(observation_space) else kind
    return next((name for name in names if name.startswith(kind)), None)
