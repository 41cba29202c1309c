"""Settings as JSON, and back: numbers and words, classes by their names, SB3's schedules."""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from sb3_atari_course.checkpoints.errors import CheckpointError
from sb3_atari_course.checkpoints.tree import NotPlainError
from sb3_atari_course.q_learning import EpisodeDecay

#: Objects that are what their attributes say.
_OBJECTS = (ConstantSchedule, FloatSchedule, LinearSchedule, SimpleLinearSchedule, EpisodeDecay)


def to_json(value: Any, name: str = "this setting") -> Any:
    """Return settings as JSON can hold them.

    :raises NotPlainError: for an object or function that cannot be found again by its name.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return to_json(value.item(), name)
    if isinstance(value, Enum):
        return to_json(value.value, name)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {
            "dict": [[to_json(key, name), to_json(one, str(key))] for key, one in value.items()]
        }
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [to_json(one, name) for one in value]}
    if isinstance(value, _OBJECTS):
        return {"object": to_json(type(value), name), "attributes": to_json(vars(value), name)}
    if hasattr(value, "__qualname__") and _found(value) is value:
        return {"name": f"{value.__module__}:{value.__qualname__}"}
    raise NotPlainError(f"{name} = {value!r} cannot be written down")


def from_json(packed: Any) -> Any:
    """Return what :func:`to_json` was given; modules that it names are imported."""
    if not isinstance(packed, dict):
        return packed
    kind = next(iter(packed))
    if kind == "dict":
        return {from_json(key): from_json(value) for key, value in packed["dict"]}
    if kind == "object":
        made = object.__new__(from_json(packed["object"]))
        made.__dict__.update(from_json(packed["attributes"]))
        return made
    if kind == "name":
        return _named(packed["name"])
    items = [from_json(one) for one in packed[kind]]
    return items if kind == "list" else tuple(items)


def _found(value: Any) -> Any:
    try:
        return _named(f"{value.__module__}:{value.__qualname__}")
    except CheckpointError:
        return None


def _named(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{name}, which the training used, is not there any more ({error}): put it back, or go"
            " on from Python where it is, resume(path, model=model)"
        ) from None
    return found
