"""Tests of the array pool."""

from __future__ import annotations

import torch as th

from sb3_atari_course._common.array_pool import LARGEST, ArrayPool


def test_reuses_only_unreferenced_arrays() -> None:
    pool = ArrayPool(2)
    first = pool.array((3, 4))
    address = first.ctypes.data
    second = pool.array((3, 4))
    tensor = th.from_numpy(first[1:])
    del first
    third = pool.array((3, 4))
    assert len({address, second.ctypes.data, third.ctypes.data}) == 3  # the tensor references it
    del second
    assert pool.array((4, 3)).shape == (4, 3)  # same size, another shape
    assert len(pool._arrays) == 2
    del tensor, third
    again = ArrayPool(2)
    assert len({again.array((3, 4)).ctypes.data for _ in range(5)}) == 1
    assert again.array((LARGEST + 1,)).size == LARGEST + 1
    assert len(again._arrays) == 1  # larger arrays are not kept
