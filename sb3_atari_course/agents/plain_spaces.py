"""Observation and action spaces as plain JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

#: Numbers in one observation: several screens of an emulator.
MAX_NUMBERS = 2**22
#: Numbers that are listed one by one in a card.
_MAX_LISTED = 10_000
#: Keys of a Dict.
_MAX_KEYS = 100
_DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def write_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a space as plain data.

    >>> write_space(spaces.Discrete(4))
    {'type': 'Discrete', 'n': 4, 'start': 0}
    >>> write_space(spaces.Box(0, 255, (4, 84, 84), np.uint8))["high"]
    255

    :raises ValueError: for spaces that SB3 does not take either, and bounds too many to list.
    """
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
        }
    if isinstance(space, spaces.MultiBinary):
        is_flat = isinstance(space.n, int)  # Gymnasium tells 7 from (7,)
        return {"type": "MultiBinary", "n": space.n if is_flat else list(space.shape)}
    if isinstance(space, spaces.Box) and str(space.dtype) in _DTYPES:
        return {
            "type": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _write_bound(space.low),
            "high": _write_bound(space.high),
        }
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {name: write_space(one) for name, one in space.items()}}
    raise ValueError(f"a card cannot describe the space {space}")


def read_space(plain: Any, *, may_nest: bool = True) -> spaces.Space[Any]:
    """Return the space that plain data describe.

    :param may_nest: False inside a Dict, which SB3 does not nest.
    :raises ValueError: if they describe none, or one that would take much memory.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"a space is an object, got {type(plain).__name__}")
    kind = plain.get("type")
    if kind == "Discrete":
        return spaces.Discrete(
            _integer(plain.get("n"), least=1), start=_integer(plain.get("start", 0))
        )
    if kind == "MultiDiscrete":
        sizes = [_integer(n, least=1) for n in _listed(plain.get("nvec"))]
        starts = [_integer(n) for n in _listed(plain.get("start", [0] * len(sizes)))]
        return spaces.MultiDiscrete(sizes, start=starts)
    if kind == "MultiBinary":
        n = plain.get("n")
        return spaces.MultiBinary(_shape(n) if isinstance(n, list) else _shape([n])[0])
    if kind == "Box":
        return _read_box(plain)
    inner = plain.get("spaces")
    if kind == "Dict" and may_nest and isinstance(inner, dict) and 0 < len(inner) <= _MAX_KEYS:
        return spaces.Dict({name: read_space(one, may_nest=False) for name, one in inner.items()})
    raise ValueError("a space is a Box, Discrete, MultiDiscrete, MultiBinary or a Dict of them")


def _read_box(plain: dict[str, Any]) -> spaces.Box:
    shape = _shape(plain.get("shape"))
    if plain.get("dtype") not in _DTYPES:
        raise ValueError(f"the dtype of a Box is one of {_DTYPES}")
    dtype = np.dtype(plain["dtype"])
    low = _read_bound(plain.get("low"), -math.inf, shape, dtype)
    high = _read_bound(plain.get("high"), math.inf, shape, dtype)
    return spaces.Box(low, high, shape, dtype.type)


def _write_bound(bound: Any) -> Any:
    """Return one number if all are equal, else all in C order; None is infinity."""
    numbers = [None if math.isinf(one) else one for one in bound.ravel().tolist()]
    if len(set(numbers)) == 1:
        return numbers[0]
    if len(numbers) > _MAX_LISTED:
        raise ValueError(f"a card cannot list {len(numbers)} bounds of a Box")
    return numbers


def _read_bound(plain: Any, infinite: float, shape: tuple[int, ...], dtype: Any) -> Any:
    numbers = _listed(plain) if isinstance(plain, list) else [plain]
    if any(one is not None and type(one) not in (int, float) for one in numbers):
        raise ValueError("the bounds of a Box are numbers, or null for none")
    found = np.array([infinite if one is None else one for one in numbers], dtype=np.float64)
    exact = found if dtype.kind == "f" else np.array(numbers, dtype=np.int64)
    if dtype.kind != "f" and not np.array_equal(exact.astype(dtype), exact):
        raise ValueError(f"the bounds of a Box do not fit into its {dtype}")
    whole = exact.astype(dtype).reshape(shape if isinstance(plain, list) else (1,) * len(shape))
    return np.broadcast_to(whole, shape)


def _listed(plain: Any) -> Sequence[Any]:
    if not isinstance(plain, list) or not 0 < len(plain) <= _MAX_LISTED:
        raise ValueError(f"a space lists 1 to {_MAX_LISTED} numbers")
    return plain


def _shape(plain: Any) -> tuple[int, ...]:
    if not isinstance(plain, list) or len(plain) > 8:
        raise ValueError("a shape is a list of at most 8 numbers")
    shape = tuple(_integer(n, least=1) for n in plain)
    if math.prod(shape) > MAX_NUMBERS:
        raise ValueError(f"an observation of shape {shape} has more than {MAX_NUMBERS} numbers")
    return shape


def _integer(plain: Any, *, least: int = -(2**31)) -> int:
    if type(plain) is not int or not least <= plain < 2**31:
        raise ValueError(f"a space has whole numbers of {least} to 2**31, got {plain!r}")
    return plain
