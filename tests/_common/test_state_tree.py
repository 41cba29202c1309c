"""Tests of the serialization of plain data."""

from __future__ import annotations

import json
import os
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_atari_course._common.errors import SavedFileError
from sb3_atari_course._common.state_tree import (
    NotPlainError,
    is_plain,
    pack,
    read_archive,
    read_header,
    unpack,
    write_archive,
)

#: Tested individually and nested.
THINGS: list[Any] = [
    None,
    True,
    0,
    2**127 + 1,
    -0.1,
    float("inf"),
    "é",
    b"\x00\xff",
    [1, [2.5, None]],
    (1, ("a",)),
    {"a": {"b": [1]}, "c": ()},
    {1: "one", (2, 3): "a pair"},
    {"$array": 3},
    {},
    deque([1, 2], maxlen=5),
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.zeros((0, 4), np.uint8),
    np.float32(0.1),
    th.tensor([[1.5, 2.5]], dtype=th.float64),
    th.tensor(3),
]


def roundtrip(tree: Any) -> Any:
    packed, arrays = pack(tree)
    return unpack(json.loads(json.dumps(packed)), arrays)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = list(a.values()), list(b.values())
    if isinstance(a, deque):
        assert a.maxlen == b.maxlen
    if isinstance(a, (list, tuple, deque)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, (np.ndarray, np.generic, th.Tensor)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert (a == b).all()
    else:
        assert a == b


@pytest.mark.parametrize("thing", THINGS, ids=repr)
def test_each_type_round_trips_unchanged(thing: Any) -> None:
    assert_same(roundtrip(thing), thing)


def test_nested_data_round_trips_unchanged() -> None:
    assert_same(
        roundtrip({"all": THINGS, "again": tuple(THINGS)}),
        {"all": THINGS, "again": tuple(THINGS)},
    )


@pytest.mark.parametrize(
    "thing", [object(), {1, 2}, np.array([object()]), th.zeros(2, dtype=th.bfloat16), 1j]
)
def test_rejects_other_objects_with_their_path(thing: Any) -> None:
    assert not is_plain(thing)
    with pytest.raises(NotPlainError, match="/a/1"):
        pack({"a": [0, thing]})


# Files

TREE = {"weights": np.arange(12.0).reshape(3, 4).T, "step": 7, "none": np.zeros((0, 2), np.uint8)}
HEADER = {"name": "é", "nothing": None, "list": [1.5, float("inf")]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_archive(tmp_path / "a.npz", TREE, HEADER)
    return tmp_path / "a.npz"


def test_archive_is_read_and_identified_by_its_digest(path: Path) -> None:
    digest = write_archive(path, TREE, HEADER)
    for expected in (digest, None):
        tree = read_archive(path, expected)
        assert_same(tree, {**TREE, "weights": np.arange(12.0).reshape(3, 4).T})
        assert tree["weights"].flags.writeable
    assert read_header(path) == HEADER
    write_archive(path, {**TREE, "weights": TREE["weights"] + 1}, HEADER)
    with pytest.raises(SavedFileError, match=r"a\.npz"):
        read_archive(path, digest)
    assert os.listdir(path.parent) == ["a.npz"]


def test_archive_is_an_npz_file_without_pickle(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == {"format-4.json", "sha256", "0", "1"}
        assert arrays["0"][3, 2] == 11
    with pytest.raises(NotPlainError):
        write_archive(path.parent / "b.npz", {"a": np.array([object()])})
    assert os.listdir(path.parent) == ["a.npz"]


def test_detects_each_altered_byte_that_changes_the_data(path: Path) -> None:
    content, n_refused, n_bytes = path.read_bytes(), 0, range(0, path.stat().st_size, 3)
    for place in n_bytes:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            assert_same(read_archive(path), TREE)
            assert read_header(path) == HEADER
        except SavedFileError:
            n_refused += 1
    assert n_refused > len(n_bytes) / 2
    for length in range(0, len(content), 41):
        path.write_bytes(content[:length])
        with pytest.raises(SavedFileError, match=r"a\.npz is damaged"):
            read_archive(path)


def rewritten(path: Path, name: str, old: bytes, new: bytes) -> None:
    """Alter a member of a zip file, with matching checksums of the zip format."""
    with zipfile.ZipFile(path) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    assert old in members[name]
    members[name] = members[name].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for one, content in members.items():
            archive.writestr(one, content)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("0.npy", np.float64(7).tobytes(), np.float64(8).tobytes()),
        ("0.npy", b"(4, 3)", b"(3, 4)"),
        ("0.npy", b"(4, 3)", b"(4, 2)"),
        ("1.npy", b"|u1", b"|i1"),
        ("format-4.json", b'"step": 7', b'"step": 8'),
        ("sha256", b"", b"0"),
    ],
)
def test_checksums_detect_altered_members(path: Path, name: str, old: Any, new: Any) -> None:
    rewritten(path, name, old, new)
    with pytest.raises(SavedFileError, match="damaged"):
        read_archive(path)


def test_rejects_other_formats_and_missing_files(path: Path) -> None:
    np.savez(path, a=np.zeros(3))
    for read in (read_archive, read_header):
        with pytest.raises(SavedFileError, match=r"a\.npz .* not of format 4"):
            read(path)
        with pytest.raises(SavedFileError, match=r"b\.npz cannot be read: No such file"):
            read(path.parent / "b.npz")
