"""Settings as JSON, and back: numbers, strings, arrays, classes by their names, schedules."""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import NotPlainError
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
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return {"$array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, Enum):
        return to_json(value.value, name)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return _dict_to_json(value, name)
    if isinstance(value, (list, tuple)):
        items = [to_json(one, name) for one in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, _OBJECTS):
        return {"$object": to_json(type(value), name), "attributes": to_json(vars(value), name)}
    if hasattr(value, "__qualname__") and _found(value) is value:
        return {"$name": f"{value.__module__}:{value.__qualname__}"}
    raise NotPlainError(f"{name} = {value!r} cannot be written down")


def from_json(packed: Any) -> Any:
    """Return what :func:`to_json` was given; modules that it names are imported."""
    if isinstance(packed, list):
        return [from_json(one) for one in packed]
    if not isinstance(packed, dict):
        return packed
    if "$dict" in packed:
        return {from_json(key): from_json(value) for key, value in packed["$dict"]}
    if "$tuple" in packed:
        return tuple(from_json(packed["$tuple"]))
    if "$array" in packed:
        return np.array(packed["$array"], packed["dtype"])
    if "$name" in packed:
        return _named(packed["$name"])
    if "$object" in packed:
        made = object.__new__(from_json(packed["$object"]))
        made.__dict__.update(from_json(packed["attributes"]))
        return made
    return {key: from_json(value) for key, value in packed.items()}


def _dict_to_json(value: dict[Any, Any], name: str) -> dict[str, Any]:
    """Return a dict as it is, or as pairs if a key is no word (or one of our marks)."""
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: to_json(one, key) for key, one in value.items()}
    pairs = [[to_json(key, name), to_json(one, str(key))] for key, one in value.items()]
    return {"$dict": pairs}


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
