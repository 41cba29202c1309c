"""Serialization of plain data as JSON and arrays, for checkpoints and replay buffers.

The file is an ``npz`` with arrays in NumPy's format (``0.npy``, ...). Its first member,
``format-4.json``, has the tree of plain data with references to the arrays, and the SHA-256 of each
array; ``sha256`` is that of the JSON. Reading it executes no code (no pickle).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.atomic_files import write_atomically
from sb3_atari_course._common.errors import SavedFileError

#: Numbers, strings, None, bytes, arrays, tensors, and lists, tuples, deques and dicts of them.
Tree = Any

_NUMBERS = (bool, int, float, str, type(None))

#: Version of the file format, also in the name of the JSON; other versions are rejected.
FORMAT = 4
_JSON, _DIGEST = f"format-{FORMAT}.json", "sha256"


class NotPlainError(TypeError):
    """Object that is not plain data, so that it cannot be saved in a checkpoint."""


def write_archive(path: Path, tree: Tree, header: dict[str, Any] | None = None) -> str:
    """Write plain data to a file; an existing file is replaced once all is on the disk.

    :param header: JSON data that :func:`read_header` can read without the rest.
    :return: the SHA-256 of the JSON, with which :func:`read_archive` can identify the file.
    :raises NotPlainError: if the tree is not plain data; nothing is written.
    :raises OSError: for example if the disk is full; an existing file is unchanged.
    """
    text, arrays = seal(tree, header)
    digest = hashlib.sha256(text.encode()).hexdigest()

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_JSON, text)
            archive.writestr(_DIGEST, digest)
            for i, array in enumerate(arrays):
                with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write)
    return digest


def read_archive(path: Path, digest: str | None = None) -> Tree:
    """Return the tree written by :func:`write_archive`.

    :param digest: return value of :func:`write_archive`; None to accept any file.
    :raises SavedFileError: if the file is damaged or missing, or if the digest differs.
    """
    with _opened(path) as (archive, text):
        if digest not in (None, hashlib.sha256(text).hexdigest()):
            raise ValueError("its checksum is not the recorded one")
        arrays = []
        for i in range(len(json.loads(text)["sha256"])):
            with archive.open(f"{i}.npy") as member:
                arrays.append(np.lib.format.read_array(member, allow_pickle=False))
        return unseal(text, arrays)


def read_header(path: Path) -> dict[str, Any]:
    """Return the header written by :func:`write_archive`, without reading the rest.

    :raises SavedFileError: if the file is damaged or missing.
    """
    with _opened(path) as (_, text):
        header: dict[str, Any] = json.loads(text)["header"]
        return header


def seal(tree: Tree, header: dict[str, Any] | None = None) -> tuple[str, list[NDArray[Any]]]:
    """Return plain data as JSON, with the SHA-256 of each array, and the arrays.

    :raises NotPlainError: if the tree is not plain data.
    """
    packed, arrays = pack(tree)
    digests = [_digest(array) for array in arrays]
    return json.dumps({"header": header or {}, "tree": packed, "sha256": digests}), arrays


def unseal(text: str | bytes, arrays: list[NDArray[Any]]) -> Tree:
    """Return the tree serialized by :func:`seal`.

    :raises SavedFileError: if the checksum of an array differs.
    """
    content = json.loads(text)
    for i, (array, digest) in enumerate(zip(arrays, content["sha256"], strict=True)):
        if _digest(array) != digest:
            raise SavedFileError(f"array {i} does not match its checksum")
    return unpack(content["tree"], arrays)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, bytes]]:
    """Yield an archive and its verified JSON; convert errors while reading to SavedFileError."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.namelist()[:1] != [_JSON]:
                raise ValueError(
                    f"it is not of format {FORMAT}, which this version of sb3_atari_course reads:"
                    " use the version that wrote it"
                )
            text = archive.read(_JSON)
            if hashlib.sha256(text).hexdigest().encode() != archive.read(_DIGEST):
                raise ValueError("its JSON does not match its checksum")
            yield archive, text
    except OSError as error:
        raise SavedFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile, numpy and json have many
        raise SavedFileError(f"{path} is damaged or in another format: {error}") from error


def _digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's dtype, shape and content."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def pack(tree: Tree) -> tuple[Any, list[NDArray[Any]]]:
    """Return plain data as JSON data, and the arrays that it refers to.

    :raises NotPlainError: for anything else, with its path in the tree.
    """
    arrays: list[NDArray[Any]] = []
    return _pack(tree, arrays, ""), arrays


def unpack(packed: Any, arrays: list[NDArray[Any]]) -> Tree:
    """Return the tree that :func:`pack` was called with, using the given arrays."""
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    if not isinstance(packed, dict):
        return packed
    (kind, value), *others = packed.items() or [("", None)]
    if kind not in _READ:
        return {key: unpack(item, arrays) for key, item in packed.items()}
    return _READ[kind](value, arrays, dict(others))


def is_plain(data: Any) -> bool:
    """Return whether an object is plain data."""
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
    # cloned, so that PyTorch allocates and aligns it
    "$tensor": lambda value, arrays, _: th.from_numpy(arrays[value]).clone(),
    "$bytes": lambda value, arrays, _: arrays[value].tobytes(),
}
