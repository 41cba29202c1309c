"""Policy settings that an agent's file may name: known classes, numbers within bounds."""

from __future__ import annotations

import math
import re
from typing import Any

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
    """Return all that RL Zoo knows, ours too: name -> class."""
    return {**ALGOS, **OUR_ALGORITHMS}


def policies(algorithm: type[BaseAlgorithm]) -> dict[str, type[BasePolicy]]:
    """Return the policies that a file may name: SB3's short names and import paths -> class."""
    aliases = dict(algorithm.policy_aliases)
    theirs = tuple(aliases.values())
    ours = [cls for cls in _OUR_POLICIES if issubclass(cls, theirs)]
    return {**aliases, **{dotted(cls): cls for cls in (*theirs, *ours)}}


#: Of anything that a policy has one of for each (a layer has as many units as 2**20 at most).
_MAX_COUNTS = {"n_critics": 64, "n_lstm_layers": 64}
_MAX_NUMBER, _MAX_LENGTH, _MAX_DEPTH = 2**20, 64, 5
#: Of training only, or chosen by whoever opens a file; the others are SB3's own.
_LEFT_OUT = ("optimizer_class", "optimizer_kwargs", "device", ":type:", ":serialized:")
_CLASS = re.compile(r"<class '([\w.]+)'>", re.ASCII)
_INIT = re.compile(r"<function (\w+)\.__init__ at 0x[0-9a-fA-F]+>", re.ASCII)


class UnknownSettingError(ValueError):
    """A file names something that is not known here, or a number beyond all bounds."""


def read_policy_kwargs(plain: Any) -> dict[str, Any]:
    """Return ``policy_kwargs`` with their classes, without those of the optimiser.

    >>> read_policy_kwargs({"net_arch": [32], "activation_fn": "torch.nn.Tanh"})
    {'net_arch': [32], 'activation_fn': <class 'torch.nn.modules.activation.Tanh'>}

    :param plain: as in a card or in the readable part of ``data``.
    :raises UnknownSettingError: naming what is not known.
    """
    if not isinstance(plain, dict):
        raise UnknownSettingError("policy_kwargs is no mapping")
    kwargs = {}
    for name, value in plain.items():
        if name in _LEFT_OUT:
            continue
        if name == "features_extractor_class":
            kwargs[name] = _class_of(EXTRACTORS, name, value)
        elif name == "activation_fn":
            kwargs[name] = _class_of(ACTIVATIONS, name, value)
        elif isinstance(value, str):
            raise UnknownSettingError(f"policy_kwargs has {name}={value[:100]!r}")
        else:
            kwargs[name] = _checked(name, value, 1)
    extractor = kwargs.get("features_extractor_kwargs")
    if isinstance(extractor, dict):
        name = extractor.get("activation_fn")
        if isinstance(name, str) and name in ACTIVATIONS:  # AtariCNN has names of its own too
            extractor["activation_fn"] = ACTIVATIONS[name]
    return kwargs


def write_policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return ``policy_kwargs`` as plain data that :func:`read_policy_kwargs` understands.

    :raises UnknownSettingError: for a class that is not known here.
    """
    plain = {name: _plain(value) for name, value in kwargs.items() if name not in _LEFT_OUT}
    read_policy_kwargs(plain)
    return plain


def read_policy_class(plain: Any, algorithm: type[BaseAlgorithm]) -> type[BasePolicy] | None:
    """Return the policy's class that the readable part of ``data`` describes, None if none does.

    :raises UnknownSettingError: if it is described and not known.
    """
    if not isinstance(plain, dict):
        return None
    module, init = plain.get("__module__"), _INIT.fullmatch(str(plain.get("__init__"))[:300])
    if not isinstance(module, str):
        return None
    known = policies(algorithm)
    if init is not None and f"{module}.{init[1]}" in known:
        return known[f"{module}.{init[1]}"]
    raise UnknownSettingError(f"its policy is a class of {module[:100]}")


def read_chance(name: str, plain: Any) -> float:
    """Return a probability.

    :raises UnknownSettingError: if it is no number of 0 to 1.
    """
    if type(plain) not in (int, float) or not 0 <= plain <= 1:
        raise UnknownSettingError(f"{name} is a number of 0 to 1, not {str(plain)[:40]!r}")
    return float(plain)


def _class_of(known: dict[str, type], name: str, value: Any) -> Any:
    described = _CLASS.fullmatch(value) if isinstance(value, str) and len(value) < 300 else None
    key = described[1] if described else value
    if not isinstance(key, str) or key not in known:
        raise UnknownSettingError(f"policy_kwargs has {name}={str(value)[:100]!r}")
    return known[key]


def _checked(name: str, value: Any, depth: int) -> Any:
    """Return a copy of plain data if all of it is within bounds."""
    if isinstance(value, (list, dict)):
        if len(value) > _MAX_LENGTH or depth > _MAX_DEPTH:
            raise UnknownSettingError(f"policy_kwargs has a {name} of {len(value)} items or deep")
        if isinstance(value, list):
            return [_checked(name, one, depth + 1) for one in value]
        return {key: _checked(key, one, depth + 1) for key, one in value.items()}
    if isinstance(value, str) and len(value) > 100:
        raise UnknownSettingError(f"policy_kwargs has a {name} of {len(value)} letters")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        most = _MAX_COUNTS.get(name, _MAX_NUMBER)
        if not math.isfinite(value) or abs(value) > most:
            raise UnknownSettingError(f"policy_kwargs has {name}={str(value)[:40]}, above {most}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return dotted(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UnknownSettingError(f"a card cannot hold {value!r} of policy_kwargs")
