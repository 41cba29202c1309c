"""Plain data goes to JSON and arrays and comes back."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_atari_course._common.state_tree import NotPlainError, is_plain, pack, unpack

#: Each of them alone, and all of them in one another.
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


def there_and_back(tree: Any) -> Any:
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
def test_what_goes_in_comes_out(thing: Any) -> None:
    assert_same(there_and_back(thing), thing)


def test_all_of_them_in_one_another() -> None:
    assert_same(
        there_and_back({"all": THINGS, "again": tuple(THINGS)}),
        {"all": THINGS, "again": tuple(THINGS)},
    )


@pytest.mark.parametrize(
    "thing", [object(), {1, 2}, np.array([object()]), th.zeros(2, dtype=th.bfloat16), 1j]
)
def test_what_is_no_plain_data_is_refused_with_its_place(thing: Any) -> None:
    assert not is_plain(thing)
    with pytest.raises(NotPlainError, match="/a/1"):
        pack({"a": [0, thing]})
