"""Files that are whole or not there: written aside, flushed to the disk, renamed, checksummed.

An archive is an ``npz``: arrays in numpy's own format, and ``tree.json``, which tells where in the
tree of plain data they belong. A checked JSON holds its own SHA-256. Nothing in them is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree, pack, unpack

#: How the name of a file ends that is still being written.
ASIDE = ".part"
_TREE = "tree.json"


class FileFacts(NamedTuple):
    """What is known of a file that was written.

    :param sha256: of all its bytes, in hexadecimal.
    :param n_bytes: its length.
    """

    sha256: str
    n_bytes: int


def write_archive(path: Path, tree: Tree) -> FileFacts:
    """Write plain data; a file of that name is replaced once all is on the disk.

    :raises NotPlainError: if it is none; nothing is written then.
    :raises OSError: if the disk is full, say; a file of that name stays as it was.
    """
    packed, arrays = pack(tree)

    def write(file: BinaryIO) -> FileFacts:
        counted = _CountedFile(file)
        with zipfile.ZipFile(counted, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_TREE, json.dumps(packed))
            for i, array in enumerate(arrays):
                with archive.open(f"{i}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        return FileFacts(counted.sha256.hexdigest(), counted.n_bytes)

    facts: FileFacts = write_aside(path, write)
    return facts


def read_archive(path: Path, facts: FileFacts) -> Tree:
    """Return what :func:`write_archive` was given.

    :raises CheckpointError: if the file is not the one of which these facts are known.
    """
    data = _read(path)
    if len(data) != facts.n_bytes:
        raise CheckpointError(
            f"{path} is cut short or another file: {len(data)} bytes, it had {facts.n_bytes}"
        )
    if hashlib.sha256(data).hexdigest() != facts.sha256:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one that was noted")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        packed = json.loads(archive.read(_TREE))
        arrays = [_read_array(archive, i) for i in range(len(archive.namelist()) - 1)]
    return unpack(packed, arrays)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON with its checksum; a file of that name is replaced once all is on the disk."""
    text = _canonical(content)
    write_aside(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """Return what :func:`write_json` was given.

    :raises CheckpointError: if there is no such file, or if a byte of it was altered.
    """
    text = _read(path).decode(errors="replace")
    try:
        document = json.loads(text)
        content: dict[str, Any] = document["content"]
        is_whole = _canonical(content) == text
    except (ValueError, KeyError, TypeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise CheckpointError(f"{path} is damaged: it does not agree with its own checksum")
    return content


def write_aside(path: Path, write: Callable[[BinaryIO], Any]) -> Any:
    """Let ``write`` fill a file aside, which then takes this name; return what it returns.

    :raises OSError: if the disk is full, say; a file of that name stays as it was.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        with open(aside, "wb") as file:
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what is told
            aside.unlink(missing_ok=True)
        raise
    flush(path.parent)
    return result


def write_result(path: Path, write: Callable[[BinaryIO], Any], *, advice: str) -> None:
    """Write a file that a command was asked for, as :func:`write_aside` does.

    :param path: its folder is made if missing.
    :param advice: end of the message if that fails.
    :raises ValueError: naming the file, if it cannot be written; one of that name stays as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_aside(path, write)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{path} cannot be written ({reason}): {advice}") from error


def flush(path: Path) -> None:
    """Bring a file, or the names of a folder's files, to the disk, where the system can do that."""
    if os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _canonical(content: dict[str, Any]) -> str:
    """Return the one text that stands for this content."""
    inner = json.dumps(content, sort_keys=True)
    digest = hashlib.sha256(inner.encode()).hexdigest()
    return json.dumps({"content": json.loads(inner), "sha256": digest}, indent=1) + "\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _read_array(archive: zipfile.ZipFile, number: int) -> NDArray[Any]:
    with archive.open(f"{number}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


class _CountedFile(io.RawIOBase):
    """Hands bytes on to a file and hashes them; zipfile writes front to back if it cannot seek."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256, self.n_bytes = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        n_written = self._file.write(data)
        self.sha256.update(data)
        self.n_bytes += n_written
        return n_written
