"""Tests of the frame stores."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th

from sb3_atari_course.replay.frame_stores import (
    BLOB_OVERHEAD,
    DeviceFrames,
    FrameStore,
    Lz4Frames,
    PlainFrames,
)

SIZE = 12
KEPT = np.random.default_rng(0).integers(0, 256, (40, SIZE), dtype=np.uint8)
STORES = {
    "plain": lambda: PlainFrames(SIZE, 4),
    "lz4": lambda: Lz4Frames(SIZE),
    "device": lambda: DeviceFrames(SIZE, 4, th.device("cpu")),
}


@pytest.mark.parametrize("kind", STORES)
def test_take_returns_copies_of_the_stored_frames(kind: str) -> None:
    store: FrameStore = STORES[kind]()
    rng = np.random.default_rng(0)
    kept = rng.integers(0, 256, (40, SIZE), dtype=np.uint8)
    for first in range(0, 40, 8):
        store.reserve(first + 8)
        store.put(np.arange(first, first + 8, dtype=np.int32), kept[first : first + 8])
    changed = np.array([3, 17], np.int32)
    kept[changed] = rng.integers(0, 256, (2, SIZE), dtype=np.uint8)
    store.put(changed, kept[changed])
    frame_ids = rng.integers(0, 40, (5, 2, 3)).astype(np.int32)
    taken = store.take(frame_ids)
    assert tuple(taken.shape) == (5, 2, 3, SIZE)
    assert (np.asarray(taken) == kept[frame_ids]).all()
    taken[:] = 0  # a copy
    assert (np.asarray(store.take(frame_ids)) == kept[frame_ids]).all()


def test_device_store_grows_by_blocks() -> None:
    """Copying to a larger block would need twice the memory."""
    store = DeviceFrames(SIZE, 32, th.device("cpu"))
    for n_frames, blocks in ((5, [32]), (32, [32]), (33, [32, 2]), (40, [32, 2, 6])):
        store.reserve(n_frames)
        assert [len(block) for block in store._blocks] == blocks
    store.put(np.arange(40, dtype=np.int32), KEPT)
    frame_ids = np.array([[39, 0], [33, 31]], np.int32)
    assert (store.take(frame_ids).numpy() == KEPT[frame_ids]).all()
    assert (store.take(frame_ids[:, 1]).numpy() == KEPT[frame_ids[:, 1]]).all()
    assert store.n_bytes == 40 * SIZE
    assert store.addresses[1::2] == (32, 2, 6)


def test_n_bytes_of_an_lz4_store_is_exact() -> None:
    store, restored, every = Lz4Frames(SIZE), Lz4Frames(SIZE), np.arange(40, dtype=np.int32)
    store.reserve(40)
    for _ in range(3):  # overwriting
        store.put(every, KEPT)
    n_bytes = sum(map(len, store._blobs)) + 40 * BLOB_OVERHEAD
    assert store.n_bytes == n_bytes
    restored.reserve(40)
    restored.put_packed(every, store.pack(every))
    assert restored.n_bytes == n_bytes


def test_plain_store_grows_in_small_steps() -> None:
    store = PlainFrames(SIZE, 1280)
    kept = np.random.default_rng(0).integers(0, 256, (1300, SIZE), dtype=np.uint8)
    for n_frames, room in ((1000, 1280), (1280, 1280), (1281, 1290), (1300, 1301)):
        store.reserve(n_frames)
        store.put(np.arange(n_frames, dtype=np.int32), kept[:n_frames])
        assert len(store._frames) == room
        assert store.n_bytes == n_frames * SIZE
    assert (store.take(np.arange(1300, dtype=np.int32)) == kept).all()


def test_lz4_compresses_mostly_static_frames() -> None:
    store = Lz4Frames(7056)
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 7056), dtype=np.uint8), 100, axis=0)
    frames[np.arange(100), rng.integers(7056, size=100)] ^= 255  # noise, but almost constant
    store.reserve(100)
    store.put(np.arange(100, dtype=np.int32), frames)
    assert store.n_bytes < 100 * 120
    assert (store.take(np.arange(100, dtype=np.int32)) == frames).all()
