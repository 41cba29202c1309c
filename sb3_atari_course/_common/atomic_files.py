"""Files that are whole or not there: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

#: How the name of a file ends that is still being written.
ASIDE = ".part"


def write_aside(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let ``write`` fill a file aside, which then takes this name.

    :raises OSError: if the disk is full, for example; a file of that name stays as it was.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what is reported
            aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


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
