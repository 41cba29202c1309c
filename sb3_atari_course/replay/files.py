"""Replay memory on disk: an npz of plain arrays and a JSON that tells what they must be.

The file is a zip. Its arrays (``NAME.npy``) are numpy's own format, so ``numpy.load`` opens them;
``replay.json`` holds the settings and the SHA-256 of each array, ``sha256`` that of the JSON.
Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay.memory import available_memory, in_words

VERSION = 1
CPU = th.device("cpu")
SETTINGS, CHECKSUM = "replay.json", "sha256"

#: What to do if a setting differs that is not an argument of the buffer.
_REMEDIES = {
    "version": "open it with the version of sb3_atari_course that saved it",
    "observations": "make the buffer for the environment that filled it",
    "actions": "make the buffer for the environment that filled it",
}


class ReplayFileError(ValueError):
    """A file that cannot be used: cut short, altered, or no replay memory at all."""


def write_replay(
    path: str | os.PathLike[str], settings: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Write settings and arrays; a file of that name is replaced once all is written.

    :param settings: numbers, strings, lists of them.
    """
    path = Path(path)
    aside = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
            digests = {}
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
                digests[name] = _digest(array)
            text = json.dumps({"version": VERSION, **settings, "arrays": digests}, indent=1)
            archive.writestr(SETTINGS, text)
            archive.writestr(CHECKSUM, hashlib.sha256(text.encode()).hexdigest())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read_replay(
    path: str | os.PathLike[str], settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the settings and arrays of a file, checked.

    :param settings: those that the file must agree with.
    :raises ReplayFileError: if the file is damaged or of other settings.
    :raises ReplayMemoryError: if the machine has not the memory that it needs.
    :raises FileNotFoundError: if there is none.
    """
    with open(path, "rb") as file:
        try:
            return _read(path, zipfile.ZipFile(file), settings)
        except (ReplayFileError, MemoryError):
            raise
        except Exception as error:  # zipfile, its compressions, numpy and json have many
            raise ReplayFileError(f"{path} is damaged or no replay memory: {error}") from error


def saved_array(
    arrays: Mapping[str, NDArray[Any]], name: str, dtype: Any, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """Return an array of a file if it is what it should be.

    :param shape: None stands for any length.
    :raises ReplayFileError: if it is not there or of another dtype or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise ReplayFileError(f"there is no array {name!r}")
    fits = len(shape) == array.ndim and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ReplayFileError(
            f"array {name!r} should be {np.dtype(dtype)} of shape {shape},"
            f" it is {array.dtype} of shape {array.shape}"
        )
    return array


def _read(
    path: Any, archive: zipfile.ZipFile, settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    text = archive.read(SETTINGS)
    if hashlib.sha256(text).hexdigest().encode() != archive.read(CHECKSUM):
        raise ReplayFileError(f"{path}: {SETTINGS} was altered")
    saved = json.loads(text)
    _check_settings(path, saved, settings)
    needed, available = sum(info.file_size for info in archive.infolist()), available_memory(CPU)
    if needed > available:
        raise ReplayMemoryError(
            f"{path} needs {in_words(needed)} of memory, {in_words(available)} are available"
        )
    arrays = {}
    for name, digest in saved["arrays"].items():
        arrays[name] = _read_array(archive, name)
        if _digest(arrays[name]) != digest:
            raise ReplayFileError(f"{path}: array {name!r} was altered")
    return saved, arrays


def _check_settings(path: Any, saved: dict[str, Any], settings: dict[str, Any]) -> None:
    for name, value in {"version": VERSION, **settings}.items():
        if saved.get(name) != value:
            was = f"{name}={saved.get(name)!r}"
            remedy = _REMEDIES.get(name, f"make the buffer with {was}")
            raise ReplayFileError(f"{path} was saved with {was}, here it is {value!r}: {remedy}")


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return an array of the archive; its header is not trusted with more memory than it fills."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        if member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ReplayFileError(f"array {name!r} is not as long as it says")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def digests_of(arrays: dict[str, NDArray[Any]]) -> dict[str, str]:
    """Return the SHA-256 of each array."""
    return {name: _digest(array) for name, array in arrays.items()}


def check_digests(arrays: dict[str, NDArray[Any]], digests: dict[str, str]) -> None:
    """Raise an error unless these are the arrays of which the digests were taken.

    :raises ReplayFileError: if an array was altered.
    """
    for name, array in arrays.items():
        if _digest(array) != digests[name]:
            raise ReplayFileError(f"array {name!r} of the replay memory was altered")


def _digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of dtype, shape and content."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()
