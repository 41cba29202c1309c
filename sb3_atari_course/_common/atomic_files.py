"""Atomic file writes: to a temporary file, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

#: Suffix of a file that is still being written.
PART_SUFFIX = ".part"


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file as a whole: an existing file is replaced once the new one is on the disk.

    :param write: is called with the open temporary file.
    :raises OSError: for example if the disk is full; an existing file is unchanged.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            part.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_result(path: Path, write: Callable[[BinaryIO], Any], *, advice: str) -> None:
    """Write an output file of a command, as :func:`write_atomically` does.

    :param path: its folder is created if missing.
    :param advice: end of the error message.
    :raises ValueError: with the path, if it cannot be written; an existing file is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{path} cannot be written ({reason}): {advice}") from error


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk, where the system supports it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
