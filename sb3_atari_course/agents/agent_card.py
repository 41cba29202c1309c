"""Model cards (``card.json``): algorithm, policy, spaces and checksums of the agents in a folder.

One model card for all zips of a folder::

    {"format": 1, "algorithm": "dqn", "env_id": "BreakoutNoFrameskip-v4",
     "policy": "sb3_atari_course.policies.AtariCnnPolicy", "policy_kwargs": {"dueling": true},
     "observation_space": {...}, "action_space": {...}, "exploration_rate": 0.01,
     "files": {"BreakoutNoFrameskip-v4.zip": {"sha256": "...", "bytes": 13700000}}}

Only ``format`` and ``files`` are required; unknown keys are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
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

from sb3_atari_course._common.atomic_files import write_atomically
from sb3_atari_course._common.validation import integer_at_least, probability
from sb3_atari_course.agents.weights import parse_json, read_file, refuse
from sb3_atari_course.policies import AtariCNN, AtariCnnPolicy, AtariQuantileCnnPolicy
from sb3_atari_course.zoo.algorithms import OUR_ALGORITHMS

#: Maximum size of an observation, in numbers: a stack of many full-size frames.
MAX_NUMBERS = 2**22
_DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def write_space(space: spaces.Space[Any]) -> dict[str, Any] | None:
    """Return a space as plain data, or None if a model card cannot describe it.

    >>> write_space(spaces.Discrete(4))
    {'type': 'Discrete', 'n': 4, 'start': 0}
    >>> write_space(spaces.Box(0, 255, (4, 84, 84), np.uint8))["high"]
    255
    """
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if not isinstance(space, spaces.Box):
        return None
    bounds = {"low": _write_bound(space.low), "high": _write_bound(space.high)}
    plain = {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    try:
        return plain if read_space(plain) == space else None
    except ValueError:  # too large, or of another dtype
        return None


def read_space(plain: Any) -> spaces.Space[Any]:
    """Return the space described by plain data.

    :param plain: as returned by :func:`write_space`.
    :raises ValueError: if it does not describe a space, or a too large one.
    :raises TypeError: for a size that is not an integer.
    """
    kind = plain.get("type") if isinstance(plain, dict) else None
    if kind == "Discrete":
        start = integer_at_least(-(2**31), "start", plain.get("start", 0))
        return spaces.Discrete(integer_at_least(1, "n", plain.get("n")), start=start)
    if kind != "Box":
        raise ValueError(f"the type of a space must be Box or Discrete, got {kind!r}")
    shape = plain.get("shape")
    if not isinstance(shape, list) or len(shape) > 8:
        raise ValueError(f"the shape of a Box must be a list of at most 8 integers, got {shape!r}")
    sizes = tuple(integer_at_least(1, "shape", n) for n in shape)
    if math.prod(sizes) > MAX_NUMBERS:
        raise ValueError(f"an observation of shape {sizes} has more than {MAX_NUMBERS} numbers")
    if plain.get("dtype") not in _DTYPES:
        raise ValueError(f"the dtype of a Box must be one of {_DTYPES}")
    dtype = np.dtype(plain["dtype"])
    low = _read_bound(plain.get("low"), -math.inf, sizes, dtype)
    high = _read_bound(plain.get("high"), math.inf, sizes, dtype)
    return spaces.Box(low, high, sizes, dtype.type)


def _write_bound(bound: Any) -> Any:
    """Return a single number if all bounds are equal, else all in C order; None is infinity."""
    numbers = [None if math.isinf(one) else one for one in bound.ravel().tolist()]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _read_bound(plain: Any, infinite: float, shape: tuple[int, ...], dtype: Any) -> Any:
    listed = plain if isinstance(plain, list) else [plain]
    if not all(one is None or type(one) in (int, float) for one in listed):
        raise ValueError("the bounds of a Box must be numbers, or null for infinity")
    numbers = np.array([infinite if one is None else one for one in listed], dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        bound = numbers.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(bound, numbers):
        raise ValueError(f"the bounds of a Box do not fit into its {dtype}")
    return bound.reshape(shape) if isinstance(plain, list) else np.full(shape, bound[0])


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


#: Import path -> class.
EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    **{dotted(cls): cls for cls in _EXTRACTORS},
    "sb3_atari_course.cnn.AtariCNN": AtariCNN,  # its name in older files
}
#: Import path, as ``torch.nn.Tanh`` too -> class.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    name: cls for cls in _ACTIVATIONS for name in (dotted(cls), f"torch.nn.{cls.__qualname__}")
}


def algorithms() -> dict[str, type[BaseAlgorithm]]:
    """Return the algorithms of RL Zoo and ours: name -> class."""
    return {**ALGOS, **OUR_ALGORITHMS}


def policies(algorithm: type[BaseAlgorithm]) -> dict[str, type[BasePolicy]]:
    """Return the policies a file may name: SB3's aliases and import paths -> class."""
    aliases = dict(algorithm.policy_aliases)
    theirs = tuple(aliases.values())
    ours = [cls for cls in _OUR_POLICIES if issubclass(cls, theirs)]
    return {**aliases, **{dotted(cls): cls for cls in (*theirs, *ours)}}


#: Maximum length of policy_kwargs as JSON, in characters: enough for 64 layers.
_MAX_TEXT = 1000
#: Numbers of submodules: large ones take long to build even on the meta device.
_COUNTS, _MAX_COUNT = ("n_critics", "n_lstm_layers"), 64
#: Needed for training only, chosen when loading, or added by SB3's serialization.
_LEFT_OUT = ("optimizer_class", "optimizer_kwargs", "device", ":type:", ":serialized:")
_CLASS = re.compile(r"<class '([\w.]+)'>", re.ASCII)
_INIT = re.compile(r"<function (\w+)\.__init__ at 0x[0-9a-fA-F]+>", re.ASCII)


def read_policy_kwargs(plain: Any) -> dict[str, Any]:
    """Return ``policy_kwargs`` with class names replaced by classes, without the optimizer's.

    >>> read_policy_kwargs({"net_arch": [32], "activation_fn": "torch.nn.Tanh"})
    {'net_arch': [32], 'activation_fn': <class 'torch.nn.modules.activation.Tanh'>}

    :param plain: as in a model card, or in the readable part of SB3's ``data``.
    :raises ValueError: for an unknown class, a string, or too large values.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"policy_kwargs must be a mapping, got {plain!r}")
    plain = {name: value for name, value in plain.items() if name not in _LEFT_OUT}
    text = json.dumps(plain)
    if len(text) > _MAX_TEXT or any(_is_large(plain.get(name)) for name in _COUNTS):
        raise ValueError(f"policy_kwargs is too large: {text[:200]}")
    kwargs: dict[str, Any] = json.loads(text)  # a copy, since some policies mutate it
    for name, value in plain.items():
        if name == "features_extractor_class":
            kwargs[name] = _class_of(EXTRACTORS, name, value)
        elif name == "activation_fn":
            kwargs[name] = _class_of(ACTIVATIONS, name, value)
        elif isinstance(value, str):
            raise ValueError(f"policy_kwargs has an unsupported string, {name}={value!r}")
    extractor = kwargs.get("features_extractor_kwargs")
    if isinstance(extractor, dict):
        name = extractor.get("activation_fn")
        if isinstance(name, str) and name in ACTIVATIONS:  # else one of AtariCNN's own names
            extractor["activation_fn"] = ACTIVATIONS[name]
    return kwargs


def _is_large(count: Any) -> bool:
    return isinstance(count, (int, float)) and count > _MAX_COUNT


def write_policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return ``policy_kwargs`` as plain data for :func:`read_policy_kwargs`.

    :raises ValueError: for an unknown class.
    """
    kept = {name: value for name, value in kwargs.items() if name not in _LEFT_OUT}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=_name_of))
    read_policy_kwargs(plain)
    return plain


def _name_of(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return dotted(value)
    raise ValueError(f"a model card cannot describe {value!r} in policy_kwargs")


def read_policy_class(plain: Any, algorithm: type[BaseAlgorithm]) -> type[BasePolicy] | None:
    """Return the policy class described in the readable part of SB3's ``data``, or None.

    :raises ValueError: for an unknown class.
    """
    if not isinstance(plain, dict):
        return None
    module, init = plain.get("__module__"), _INIT.fullmatch(str(plain.get("__init__"))[:300])
    if not isinstance(module, str):
        return None
    known = policies(algorithm)
    if init is not None and f"{module}.{init[1]}" in known:
        return known[f"{module}.{init[1]}"]
    raise ValueError(f"its policy is an unknown class of the module {module[:100]}")


def _class_of(known: dict[str, type], name: str, value: Any) -> Any:
    described = _CLASS.fullmatch(str(value))
    key = described[1] if described else str(value)
    if key not in known:
        raise ValueError(f"policy_kwargs has an unknown class, {name}={value!r}")
    return known[key]


CARD = "card.json"
#: Maximum size of a model card, in bytes.
MAX_CARD = 2**20
_FORMAT = 1
_SHA = re.compile(r"[0-9a-f]{64}", re.ASCII)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check a model card.

    :param path: path of ``card.json``, or of its folder.
    :return: its content; classes and spaces are plain data.
    :raises FileNotFoundError: if there is none.
    :raises AgentFileError: if it is malformed, or names an unknown algorithm or class.
    """
    where = Path(path)
    where = where / CARD if where.is_dir() and where.name != CARD else where
    card = parse_json(read_file(where, max_bytes=MAX_CARD), where)
    try:
        _check_card(card)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        remedy = "write it with write_card"
        raise refuse(where, f"not a valid model card, {error}", remedy) from None
    return card


def write_card(
    folder: str | os.PathLike[str],
    model: BaseAlgorithm,
    *,
    env_id: str | None = None,
    **more: Any,
) -> Path:
    """Write the model card of all zips in a folder, replacing an existing one.

    :param folder: folder with zips of ``model.save``, all with the same algorithm and policy.
    :param model: one of these models.
    :param env_id: Gymnasium's id of the environment it was trained on.
    :param more: further JSON data, returned by :func:`read_card`.
    :return: path of the model card.
    :raises FileNotFoundError: if there is no zip in the folder.
    :raises ValueError: for a model that a model card cannot describe, for example one with an
        unknown policy class, and for a key in ``more`` that is written anyway.
    """
    zips = sorted(Path(folder).glob("*.zip"))
    if not zips:
        raise FileNotFoundError(f"the folder {folder} has no .zip: save the model there first")
    card: dict[str, Any] = {"format": _FORMAT, **describe(model)}
    if env_id is not None:
        card["env_id"] = env_id
    card["files"] = {one.name: _fingerprint(one.read_bytes()) for one in zips}
    clash = sorted(set(card) & set(more))
    if clash:
        raise ValueError(f"write_card sets {clash} itself: leave these arguments out")
    card.update(more)
    text = json.dumps(card, indent=2, allow_nan=False)
    path = Path(folder) / CARD
    _check_card(parse_json(text.encode(), path))
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()))
    return path


def check_fingerprint(content: bytes, agent: Path, card: dict[str, Any]) -> None:
    """Check a file against the SHA-256 and size in its model card.

    :param content: of the file.
    :param agent: its path.
    :param card: the model card of its folder.
    :raises AgentFileError: if they differ, or if the model card does not list the file.
    """
    if agent.name not in card["files"]:
        known = sorted(card["files"])[:5]
        raise refuse(
            agent, f"its model card lists {known}, not this file", "add it with write_card"
        )
    if card["files"][agent.name] != _fingerprint(content):
        raise refuse(
            agent, "its SHA-256 differs from the one in its model card", "download both again"
        )


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def describe(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the part of a model card that describes a model.

    :raises ValueError: for a model that a model card cannot describe.
    """
    names = [name for name, cls in algorithms().items() if cls is type(model)]
    if not names:
        raise ValueError(f"{type(model).__name__} is neither an algorithm of RL Zoo nor of ours")
    policy = dotted(model.policy_class)
    if policy not in policies(type(model)):
        raise ValueError(f"the policy {policy} is unknown, so a model card cannot name it")
    described: dict[str, Any] = {
        "algorithm": names[0],
        "policy": policy,
        "policy_kwargs": write_policy_kwargs(model.policy_kwargs),
    }
    for name in ("observation_space", "action_space"):
        space = write_space(getattr(model, name))
        if space is not None:  # else load_agent needs env=
            described[name] = space
    if hasattr(model, "exploration_rate"):
        described["exploration_rate"] = float(model.exploration_rate)
    if model.use_sde:
        described["use_sde"] = True
    return described


def _check_card(card: dict[str, Any]) -> None:
    """Raise a ValueError or TypeError unless a model card is valid; ignore unknown keys."""
    if type(card.get("format")) is not int or card["format"] != _FORMAT:
        raise ValueError(f"its format must be {_FORMAT}, got {str(card.get('format'))[:100]}")
    known = algorithms()
    algorithm = card.get("algorithm")
    if algorithm is not None and (not isinstance(algorithm, str) or algorithm not in known):
        raise ValueError(f"its algorithm is not one of {sorted(known)}: {str(algorithm)[:100]}")
    policy = card.get("policy")
    if policy is not None and (
        algorithm is None or not isinstance(policy, str) or policy not in policies(known[algorithm])
    ):
        raise ValueError(
            f"its policy is unknown for the algorithm {algorithm}: {str(policy)[:100]}"
        )
    if not isinstance(card.get("env_id", ""), str):
        raise ValueError("its env_id is not a string")
    if type(card.get("use_sde", False)) is not bool:
        raise ValueError("its use_sde is neither true nor false")
    if "exploration_rate" in card:
        probability("exploration_rate", card["exploration_rate"])
    read_policy_kwargs(card.get("policy_kwargs", {}))
    for name in ("observation_space", "action_space"):
        if name in card:
            read_space(card[name])
    _check_files(card.get("files"))


def _check_files(files: Any) -> None:
    if not isinstance(files, dict):
        raise ValueError("it has no mapping files")
    for name, listed in files.items():
        if Path(name).name != name or not isinstance(listed, dict):
            raise ValueError(f"its file {name[:100]!r} is not a file name in this folder")
        if not _SHA.fullmatch(str(listed.get("sha256"))) or type(listed.get("bytes")) is not int:
            raise ValueError(f"it lacks a valid sha256 or bytes of {name[:100]!r}")
