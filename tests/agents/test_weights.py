"""Zips and the tensors of policy.pth: opened as they were saved, or refused."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import pytest
import torch as th

from sb3_atari_course.agents.weights import (
    MAX_PICKLE,
    AgentFileError,
    Weights,
    parse_json,
    read_members,
)
from tests.agents.making import Tensor, describe_state, pack, pack_policy, state_pickle, text

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
    "policy",
    [
        made(shape=(10**6, 10**6), strides=(0, 0)),
        made(strides=(3, 2)),
        made(offset=1),
        made(strides=(-3, 1)),
        made(numel=7),
        made(key="1"),
        made(kind="UntypedStorage"),
        made({**RECORDS, "constants.pkl": b""}),
        made({**RECORDS, "data/9": bytes(4)}),
        made({"data/0": RECORDS["data/0"]}),
        made(kind="IntStorage", key="1", shape=(), strides=(), numel=1),
        b"\x80\x02}.",
    ],
)
def test_anything_else_is_refused(policy: bytes) -> None:
    with pytest.raises(AgentFileError, match=r"^p\.pth: "):
        read(policy)


ONE = Tensor("0", (2, 3), (3, 1), 6)
GOOD_PICKLE = state_pickle([("a", ONE)])


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        GOOD_PICKLE[:-1],
        GOOD_PICKLE + b"N.",
        b"\x80\x04" + GOOD_PICKLE[2:],
        GOOD_PICKLE[:-1] + b"q\x00" * MAX_PICKLE + b".",
        state_pickle([("a", text("x"))]),
        b"\x80\x02}.",
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.",
    ],
)
def test_a_pickle_of_anything_but_tensors_is_refused(pickled: bytes) -> None:
    with pytest.raises(AgentFileError, match=r"^p\.pth: "):
        read(pack_policy(pickled, {"data/0": bytes(24)}))


def test_ram_that_no_tensor_needs_is_not_asked_for() -> None:
    """Torch's own loader would build the bytes before anything is looked at."""
    bomb = b"\x80\x02}X\x01\x00\x00\x00ac__builtin__\nbytearray\nJ\x00\x00\x00\x10\x85Rs."
    with pytest.raises(AgentFileError, match=r"^p\.pth: .*bytearray"):
        read(pack_policy(bomb, {}))


def test_a_key_that_takes_forever_to_hash_is_refused_at_once() -> None:
    """A tuple of twice the same tuple, and so on, 60 deep."""
    pairs = b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    with pytest.raises(AgentFileError, match=r"^p\.pth: "):
        read(pack_policy(b"\x80\x02})" + pairs + b"K\x01s.", {}))


def test_shared_numbers_are_counted_for_each_tensor() -> None:
    wide = Tensor("0", (50,), (1,), 50)
    policy = pack_policy(state_pickle([("a", wide), ("b", wide)]), {"data/0": bytes(200)})
    assert len(read(policy, max_bytes=400)) == 2
    with pytest.raises(AgentFileError, match="400 bytes, more than max_bytes=399"):
        read(policy, max_bytes=399)


GOOD = pack({"a": b"first", "b/c": b"second"})


def refuse(content: bytes) -> None:
    with pytest.raises(AgentFileError, match=r"^x\.zip: "):
        read_members(content, "x.zip")


def test_members_are_read() -> None:
    assert read_members(GOOD, "x.zip") == {"a": b"first", "b/c": b"second"}


def test_torch_reads_what_python_has_read() -> None:
    """Bytes between two members, which the directory steps over, are left out."""
    good = made()
    start, directory = good.index(b"PK\3\4", 4), good.index(b"PK\1\2")
    content = bytearray(good[:start] + b"hidden" + good[start:])
    at = directory + 6
    while (at := content.find(b"PK\1\2", at + 1)) > 0:
        struct.pack_into("<L", content, at + 42, struct.unpack_from("<L", content, at + 42)[0] + 6)
    struct.pack_into("<L", content, len(content) - 6, directory + 6)
    found = read(bytes(content))
    assert all(th.equal(found[name], STATE[name]) for name in STATE)


def test_names_differ_whatever_their_case() -> None:
    refuse(pack({"data": b"1", "DATA": b"2"}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD + b"\0",
        GOOD[:-2] + b"\1\0" + b"c",
        b"\0" + GOOD,
        pack({"../a": b""}),
        pack({"a/": b""}),
        pack({"a": bytes(99)}, zipfile.ZIP_DEFLATED),
        pack({str(i): b"" for i in range(2001)}),
        GOOD.replace(b"first", b"First"),
        GOOD[:30] + b"b" + GOOD[31:],
    ],
)
def test_zips_that_sb3_does_not_write_are_refused(content: bytes) -> None:
    refuse(content)


def test_json_has_one_meaning() -> None:
    assert parse_json(b'{"a": ' + b"9" * 40 + b"}", "x") == {"a": 10**40 - 1}
    for wrong in (b'{"a": 1, "a": 2}', b'{"a": ' + b"9" * 41 + b"}", b"[]", b"\xff"):
        with pytest.raises(AgentFileError, match=r"^x: "):
            parse_json(wrong, "x")
