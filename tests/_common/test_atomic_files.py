"""Tests of atomic file writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sb3_atari_course._common.atomic_files import write_atomically
from tests.checkpoints.faults import KilledError, full_disk, kill_at


def test_kill_at_any_time_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path, found = tmp_path / "a", []
    for last in range(100):
        path.write_bytes(b"old")
        try:
            with kill_at(last):
                write_atomically(path, lambda file: file.write(b"new one"))
        except KilledError:
            found.append(path.read_bytes())
        else:
            break
    # open, write, fsync, rename, then fsync of the folder
    assert found == [b"old"] * 4 + [b"new one"]
    assert path.read_bytes() == b"new one"


def test_full_disk_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with full_disk(1000), pytest.raises(OSError, match="File too large"):
        write_atomically(path, lambda file: file.write(bytes(2000)))
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"
