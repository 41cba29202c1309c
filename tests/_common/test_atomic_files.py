"""A file is whole, or it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sb3_atari_course._common.atomic_files import write_aside
from tests.checkpoints.faults import KilledError, full_disk, kill_at


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path, found = tmp_path / "a", []
    for last in range(100):
        path.write_bytes(b"old")
        try:
            with kill_at(last):
                write_aside(path, lambda file: file.write(b"new one"))
        except KilledError:
            found.append(path.read_bytes())
        else:
            break
    # open, write, fsync, rename, then the folder's names
    assert found == [b"old"] * 4 + [b"new one"]
    assert path.read_bytes() == b"new one"


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with full_disk(1000), pytest.raises(OSError, match="File too large"):
        write_aside(path, lambda file: file.write(bytes(2000)))
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"
