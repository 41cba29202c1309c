"""Plain data as JSON and arrays, in a file and back: what a checkpoint can hold.

The file is an ``npz``: arrays in numpy's own format, and ``tree.json``, which says where in the
tree of plain data they belong. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.atomic_files import read_bytes, write_aside
from sb3_atari_course._common.errors import CheckpointError

#: Numbers, strings, None, bytes, arrays, tensors, and lists, tuples, deques and dicts of them.
Tree = Any

_NUMBERS = (bool, int, float, str, type(None))


_TREE = "tree.json"


class NotPlainError(TypeError):
    """Something that a checkpoint cannot hold: it is not plain data."""


class FileFacts(NamedTuple):
    """What identifies a file that was written.

    :param sha256: of all its bytes, in hexadecimal.
    :param n_bytes: its length.
    """

    sha256: str
    n_bytes: int


def write_archive(path: Path, tree: Tree) -> FileFacts:
    """Write plain data; a file of that name is replaced once all is on the disk.

    :raises NotPlainError: if it is not plain; nothing is written then.
    :raises OSError: if the disk is full, for example; a file of that name stays as it was.
    """
    packed, arrays = pack(tree)

    def write(file: BinaryIO) -> FileFacts:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_TREE, json.dumps(packed))
            for i, array in enumerate(arrays):
                with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        n_bytes, digest = file.tell(), hashlib.sha256()
        file.seek(0)
        while block := file.read(2**20):
            digest.update(block)
        return FileFacts(digest.hexdigest(), n_bytes)

    return write_aside(path, write)


def read_archive(path: Path, facts: FileFacts) -> Tree:
    """Return what :func:`write_archive` was given.

    :raises CheckpointError: if the file is not the one with these facts.
    """
    data = read_bytes(path)
    if len(data) != facts.n_bytes:
        raise CheckpointError(
            f"{path} is cut short or another file: {len(data)} bytes, it had {facts.n_bytes}"
        )
    if hashlib.sha256(data).hexdigest() != facts.sha256:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one that was noted")
    arrays = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        packed = json.loads(archive.read(_TREE))
        for i in range(len(archive.namelist()) - 1):
            with archive.open(f"{i}.npy") as member:
                arrays.append(np.lib.format.read_array(member, allow_pickle=False))
    return unpack(packed, arrays)


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
    raise NotPlainError(f"{place or 'this'} is not plain data but {type(tree).__qualname__}")


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
