"""Plain data as JSON and arrays, and back: what a checkpoint can hold."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

#: Numbers, strings, None, bytes, arrays, tensors, and lists, tuples, deques and dicts of them.
Tree = Any

_NUMBERS = (bool, int, float, str, type(None))


class NotPlainError(TypeError):
    """Something that a checkpoint cannot hold: it is no plain data."""


def pack(tree: Tree) -> tuple[Any, list[NDArray[Any]]]:
    """Return plain data as something that JSON can hold, and the arrays that it cannot.

    :raises NotPlainError: for anything else, with its place in the tree.
    """
    arrays: list[NDArray[Any]] = []
    return _pack(tree, arrays, ""), arrays


def unpack(packed: Any, arrays: list[NDArray[Any]]) -> Tree:
    """Return what :func:`pack` was given; arrays are those of ``arrays``."""
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    if not isinstance(packed, dict):
        return packed
    (kind, value), *others = packed.items() or [("", None)]
    if kind not in _READ:
        return {key: unpack(item, arrays) for key, item in packed.items()}
    return _READ[kind](value, arrays, dict(others))


def is_plain(data: Any) -> bool:
    """Tell whether a checkpoint can hold something."""
    try:
        pack(data)
    except NotPlainError:
        return False
    return True


def _pack(tree: Tree, arrays: list[NDArray[Any]], place: str) -> Any:
    if type(tree) in _NUMBERS:
        return tree
    if isinstance(tree, (np.ndarray, np.generic, th.Tensor, bytes)):
        return _pack_array(tree, arrays, place)
    if isinstance(tree, dict):
        if all(type(key) is str and not key.startswith("$") for key in tree):
            return {key: _pack(item, arrays, f"{place}/{key}") for key, item in tree.items()}
        pairs = [[key, item] for key, item in tree.items()]
        return {"$dict": _pack(pairs, arrays, place)}
    if isinstance(tree, (list, tuple, deque)):
        items = [_pack(item, arrays, f"{place}/{i}") for i, item in enumerate(tree)]
        if isinstance(tree, deque):
            return {"$deque": items, "maxlen": tree.maxlen}
        return {"$tuple": items} if isinstance(tree, tuple) else items
    raise NotPlainError(f"{place or 'this'} is no plain data but {type(tree).__qualname__}")


def _pack_array(data: Any, arrays: list[NDArray[Any]], place: str) -> dict[str, int]:
    kind = "$array"
    if isinstance(data, bytes):
        kind, array = "$bytes", np.frombuffer(data, np.uint8)
    elif isinstance(data, np.generic):
        kind, array = "$scalar", np.asarray(data)
    elif isinstance(data, th.Tensor):
        try:
            kind, array = "$tensor", data.detach().cpu().numpy()
        except TypeError as error:  # bfloat16
            raise NotPlainError(f"{place}: {error}") from None
    else:
        array = data
    if array.dtype.hasobject or array.dtype.names:
        raise NotPlainError(f"{place} is an array of {array.dtype}")
    arrays.append(array)
    return {kind: len(arrays) - 1}


def _read_items(items: Any, arrays: list[NDArray[Any]]) -> list[Any]:
    return [unpack(item, arrays) for item in items]


_READ: dict[str, Any] = {
    "$dict": lambda value, arrays, _: dict(_read_items(pair, arrays) for pair in value),
    "$deque": lambda value, arrays, others: deque(_read_items(value, arrays), others["maxlen"]),
    "$tuple": lambda value, arrays, _: tuple(_read_items(value, arrays)),
    "$array": lambda value, arrays, _: arrays[value],
    "$scalar": lambda value, arrays, _: arrays[value][()],
    # in memory of torch's own, aligned as its other tensors
    "$tensor": lambda value, arrays, _: th.from_numpy(arrays[value]).clone(),
    "$bytes": lambda value, arrays, _: arrays[value].tobytes(),
}
