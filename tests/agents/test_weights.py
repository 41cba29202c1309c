"""Which weights policy.pth holds."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch as th

from sb3_atari_course.agents.errors import AgentFileError
from sb3_atari_course.agents.weights import Weights
from tests.agents.making import Tensor, describe_state, pack_policy, state_pickle

STATE = {"a": th.arange(6.0).reshape(2, 3), "b": th.tensor(7.0)}
TENSORS, RECORDS = describe_state(STATE)


def read(policy: bytes, max_bytes: int = 1000) -> dict[str, th.Tensor]:
    return Weights(policy, "p.pth", max_bytes=max_bytes).read()


def made(records: dict[str, bytes] = RECORDS, **changed: Any) -> bytes:
    """Return policy.pth, the description of its first tensor changed."""
    tensors = {**TENSORS, "a": TENSORS["a"].but(**changed)}
    return pack_policy(state_pickle(list(tensors.items())), records)


def test_reads_what_torch_has_saved() -> None:
    state = {
        **STATE,
        "whole numbers": th.arange(4),
        "truth": th.tensor([True, False]),
        "a part": th.arange(9.0)[3:5],
        "turned": th.arange(6.0).reshape(2, 3).t(),
        "last": th.zeros(2, 3, 4, 4).contiguous(memory_format=th.channels_last),
        "empty": th.zeros(0, 3),
    }
    buffer = io.BytesIO()
    th.save(state, buffer)
    found = read(buffer.getvalue())
    assert found.keys() == state.keys()
    assert all(th.equal(found[name], state[name]) for name in state)


def test_reads_what_is_put_together_by_hand() -> None:
    found = read(made())
    assert all(th.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        (made(shape=(10**6, 10**6), strides=(0, 0)), "larger than its 6 numbers"),
        (made(strides=(3, 2)), "larger than its 6 numbers"),
        (made(offset=1), "larger than its 6 numbers"),
        (made(strides=(-3, 1)), "impossible shape"),
        (made(numel=7), "24 bytes, not the 28"),
        (made(key="1"), "another type|not those of its tensors"),
        (made(device="meta"), "unknown device"),
        (made(kind="UntypedStorage"), "names 'torch UntypedStorage'"),
        (made({**RECORDS, "constants.pkl": b""}), "constants.pkl"),
        (made({**RECORDS, ".data/serialization_id": bytes(65)}), "has 65 bytes"),
        (made({"data/0": RECORDS["data/0"]}), "data/1"),
        (made(kind="IntStorage", key="1", shape=(), strides=(), numel=1), "another type"),
        (b"\x80\x02}.", "torch writes since version 1.6"),
    ],
)
def test_anything_else_is_refused(policy: bytes, match: str) -> None:
    with pytest.raises(AgentFileError, match=match):
        read(policy)


def test_shared_numbers_are_counted_for_each_tensor() -> None:
    wide = Tensor("0", (50,), (1,), 50)
    policy = pack_policy(state_pickle([("a", wide), ("b", wide)]), {"data/0": bytes(200)})
    assert len(read(policy, max_bytes=400)) == 2
    with pytest.raises(AgentFileError, match="400 bytes, more than max_bytes=399"):
        read(policy, max_bytes=399)
