"""Fault injection: kills during a write, full disks, damaged files."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course._common import atomic_files


class KilledError(BaseException):
    """Stands for SIGKILL: no code runs after it, not even cleanup."""


class Killer:
    """Raises KilledError at the nth file operation and all later ones.

    :param last: number of operations before the kill.
    """

    def __init__(self, last: float = float("inf")) -> None:
        self.n_operations, self.last = 0, last

    def operation(self) -> None:
        self.n_operations += 1
        if self.n_operations > self.last:
            raise KilledError


class _Watched:
    """File wrapper that writes half of the data if the kill happens in a write."""

    def __init__(self, file: Any, killer: Killer) -> None:
        self._file, self._killer = file, killer

    def write(self, data: Any) -> int:
        if self._killer.n_operations == self._killer.last:
            self._file.write(bytes(data)[: len(data) // 2])
        self._killer.operation()
        return int(self._file.write(data))

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *args: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def kill_at(last: float) -> Iterator[Killer]:
    """Kill after ``last`` file operations (open, write, flush, rename, truncate, delete)."""
    killer = Killer(last)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            killer.operation()
            return function(*args, **kwargs)

        return call

    def open_watched(path: Any, mode: str) -> Any:
        killer.operation()
        return _Watched(builtins.open(path, mode, buffering=0), killer)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "fsync", "truncate"):
            patch.setattr(os, name, watched(getattr(os, name)))
        patch.setattr(Path, "unlink", watched(Path.unlink))
        patch.setattr(atomic_files, "open", open_watched, raising=False)
        yield killer


@contextmanager
def full_disk(n_bytes: int) -> Iterator[None]:
    """Limit the size of files to ``n_bytes`` in the kernel, like a full disk."""
    resource = pytest.importorskip("resource", reason="a limit of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def flip(path: Path, rng: np.random.Generator) -> None:
    """Flip one random bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def cut_short(path: Path, rng: np.random.Generator) -> None:
    """Truncate a file to a random length."""
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder and its subfolders."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
