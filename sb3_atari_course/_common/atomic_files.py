"""Files that are whole or not there: written aside, flushed to the disk, renamed, checksummed.

A checked JSON holds its own SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sb3_atari_course._common.errors import CheckpointError

#: How the name of a file ends that is still being written.
ASIDE = ".part"

_Result = TypeVar("_Result")


def write_aside(path: Path, write: Callable[[BinaryIO], _Result]) -> _Result:
    """Let ``write`` fill a file aside, which then takes this name; return what it returns.

    :raises OSError: if the disk is full, for example; a file of that name stays as it was.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        with open(aside, "w+b") as file:
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what is reported
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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON with its checksum; a file of that name is replaced once all is on the disk."""
    text = _canonical(content)
    write_aside(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """Return what :func:`write_json` was given.

    :raises CheckpointError: if there is no such file, or if a byte of it has changed.
    """
    text = read_bytes(path).decode(errors="replace")
    try:
        content: dict[str, Any] = json.loads(text)["content"]
        is_whole = _canonical(content) == text
    except (ValueError, KeyError, TypeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise CheckpointError(f"{path} is damaged: it does not agree with its own checksum")
    return content


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    :raises CheckpointError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _canonical(content: dict[str, Any]) -> str:
    """Return the one text that stands for this content."""
    inner = json.dumps(content, sort_keys=True)
    digest = hashlib.sha256(inner.encode()).hexdigest()
    return json.dumps({"content": json.loads(inner), "sha256": digest}, indent=1) + "\n"
