"""A file is whole, or it is not there; an altered one is seen."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course._common.atomic_files import read_json, write_json
from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import (
    FileFacts,
    NotPlainError,
    read_archive,
    write_archive,
)
from tests.checkpoints.faults import KilledError, full_disk, kill_at

TREE = {"weights": np.arange(12.0).reshape(3, 4), "step": 7, "none": np.zeros((0, 2), np.uint8)}
OLD: dict[str, Any] = {"step": 6}


def test_an_archive_comes_back_and_its_facts_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    facts = write_archive(path, TREE)
    content = path.read_bytes()
    assert facts == (hashlib.sha256(content).hexdigest(), len(content))
    tree = read_archive(path, facts)
    assert tree["step"] == 7
    assert np.array_equal(tree["weights"], np.arange(12.0).reshape(3, 4))
    assert tree["none"].shape == (0, 2)
    assert tree["weights"].flags.writeable
    assert os.listdir(tmp_path) == ["a.npz"]


def test_an_archive_is_numpys_own_format_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_archive(path, TREE)
    assert zipfile.ZipFile(path).testzip() is None
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["tree.json", "0.npy", "1.npy"]
        with archive.open("0.npy") as member:
            assert np.load(member, allow_pickle=False)[2, 3] == 11
    with pytest.raises(NotPlainError):
        write_archive(tmp_path / "b.npz", {"a": np.array([object()])})
    assert os.listdir(tmp_path) == ["a.npz"]


def test_each_altered_byte_of_an_archive_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    facts = write_archive(path, TREE)
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match=r"a\.npz is damaged: its SHA-256 is not"):
            read_archive(path, facts)
    for n_bytes in range(0, len(content), 41):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(CheckpointError, match=f"cut short or another file: {n_bytes} bytes"):
            read_archive(path, facts)


def test_each_altered_byte_of_a_json_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"step": 10, "name": "é", "nothing": None, "list": [1.5, float("inf")]})
    content = path.read_bytes()
    for place in range(len(content)):
        altered = bytes([content[place] ^ (1 << place % 8)])
        path.write_bytes(content[:place] + altered + content[place + 1 :])
        with pytest.raises(CheckpointError, match=r"a\.json is damaged"):
            read_json(path)
    for n_bytes in range(len(content)):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(CheckpointError, match="does not agree with its own checksum"):
            read_json(path)
    path.write_bytes(content)
    assert read_json(path)["list"] == [1.5, float("inf")]


def test_other_jsons_are_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "[]", "3", '{"content": {}}', "[" * 100_000, '{"content": {}, "sha256": ""}'):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="is damaged"):
            read_json(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.npz cannot be read: No such file"):
        read_archive(tmp_path / "a.npz", FileFacts("", 0))
    with pytest.raises(CheckpointError, match=r"a\.json cannot be read: No such file"):
        read_json(tmp_path / "a.json")


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path, found = tmp_path / "a.json", []
    for last in range(100):
        write_json(path, OLD)
        try:
            with kill_at(last):
                write_json(path, {"step": 7})
        except KilledError:
            found.append(read_json(path)["step"])
        else:
            break
    assert found == [6, 6, 6, 6, 7]  # open, write, fsync, rename, then the folder's names
    assert read_json(path) == {"step": 7}


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    old = write_archive(path, OLD)
    big = {"noise": np.random.default_rng(1).bytes(5000)}
    for n_bytes in range(0, 10_000, 97):
        with full_disk(n_bytes):
            try:
                facts = write_archive(path, big)
                break
            except OSError:
                pass
        assert os.listdir(tmp_path) == ["a.npz"]
        assert read_archive(path, old) == OLD
    assert n_bytes - 97 < facts.n_bytes <= n_bytes
    assert read_archive(path, facts)["noise"] == big["noise"]
