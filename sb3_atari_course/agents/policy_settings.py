"""Policy settings that an agent's file may name: known classes, bounded numbers."""

from __future__ import annotations

import json
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


#: As JSON, in characters: those of a network with 64 layers.
_MAX_TEXT = 1000
#: Of what a policy builds one for each, so that even without RAM it would take time.
_COUNTS, _MAX_COUNT = ("n_critics", "n_lstm_layers"), 64
#: Of training only, or chosen by whoever opens a file; the others are SB3's own.
_LEFT_OUT = ("optimizer_class", "optimizer_kwargs", "device", ":type:", ":serialized:")
_CLASS = re.compile(r"<class '([\w.]+)'>", re.ASCII)
_INIT = re.compile(r"<function (\w+)\.__init__ at 0x[0-9a-fA-F]+>", re.ASCII)


def read_policy_kwargs(plain: Any) -> dict[str, Any]:
    """Return ``policy_kwargs`` with their classes, without those of the optimiser.

    >>> read_policy_kwargs({"net_arch": [32], "activation_fn": "torch.nn.Tanh"})
    {'net_arch': [32], 'activation_fn': <class 'torch.nn.modules.activation.Tanh'>}

    :param plain: as in a card or in the readable part of ``data``.
    :raises ValueError: naming what is not known.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"policy_kwargs is not a mapping: {plain!r}")
    plain = {name: value for name, value in plain.items() if name not in _LEFT_OUT}
    text = json.dumps(plain)
    if len(text) > _MAX_TEXT or any(_is_large(plain.get(name)) for name in _COUNTS):
        raise ValueError(f"policy_kwargs is too large: {text[:200]}")
    kwargs: dict[str, Any] = json.loads(text)  # a copy, for some policies change it
    for name, value in plain.items():
        if name == "features_extractor_class":
            kwargs[name] = _class_of(EXTRACTORS, name, value)
        elif name == "activation_fn":
            kwargs[name] = _class_of(ACTIVATIONS, name, value)
        elif isinstance(value, str):
            raise ValueError(f"policy_kwargs has {name}={value!r}")
    extractor = kwargs.get("features_extractor_kwargs")
    if isinstance(extractor, dict):
        name = extractor.get("activation_fn")
        if isinstance(name, str) and name in ACTIVATIONS:  # AtariCNN has names of its own too
            extractor["activation_fn"] = ACTIVATIONS[name]
    return kwargs


def _is_large(count: Any) -> bool:
    return isinstance(count, (int, float)) and count > _MAX_COUNT


def write_policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return ``policy_kwargs`` as plain data that :func:`read_policy_kwargs` understands.

    :raises ValueError: for a class that is not known here.
    """
    kept = {name: value for name, value in kwargs.items() if name not in _LEFT_OUT}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=_name_of))
    read_policy_kwargs(plain)
    return plain


def _name_of(value: Any) -> str:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return dotted(value)
    raise ValueError(f"a card cannot hold {value!r} of policy_kwargs")


def read_policy_class(plain: Any, algorithm: type[BaseAlgorithm]) -> type[BasePolicy] | None:
    """Return the policy's class that the readable part of ``data`` describes, None if none does.

    :raises ValueError: if it is described and not known.
    """
    if not isinstance(plain, dict):
        return None
    module, init = plain.get("__module__"), _INIT.fullmatch(str(plain.get("__init__"))[:300])
    if not isinstance(module, str):
        return None
    known = policies(algorithm)
    if init is not None and f"{module}.{init[1]}" in known:
        return known[f"{module}.{init[1]}"]
    raise ValueError(f"its policy is a class of {module[:100]}")


def _class_of(known: dict[str, type], name: str, value: Any) -> Any:
    described = _CLASS.fullmatch(str(value))
    key = described[1] if described else str(value)
    if key not in known:
        raise ValueError(f"policy_kwargs has {name}={value!r}")
    return known[key]
