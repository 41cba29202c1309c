"""Safe reading of zips and of the tensors in policy.pth."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
import torch as th

from sb3_atari_course.agents.weights import (
    MAX_PICKLE,
    AgentFileError,
    read_members,
    read_weights,
)
from tests.agents.zips_and_pickles import (
    Tensor,
    describe_state,
    pack,
    pack_policy,
    state_pickle,
    text,
    unpack,
)

STATE = {"a": th.arange(6.0).reshape(2, 3), "b": th.tensor(7.0)}
TENSORS, RECORDS = describe_state(STATE)
PICKLE = state_pickle(list(TENSORS.items()))


def read(policy: bytes, max_bytes: int = 1000) -> dict[str, th.Tensor]:
    return read_weights(policy, "p.pth", max_bytes=max_bytes)


def made(records: dict[str, bytes] = RECORDS, **changed: Any) -> bytes:
    """Return policy.pth with a changed description of its first tensor."""
    tensors = {**TENSORS, "a": TENSORS["a"].but(**changed)}
    return pack_policy(state_pickle(list(tensors.items())), records)


def test_reads_state_dicts_of_torch_save() -> None:
    state = {
        **STATE,
        "integers": th.arange(4),
        "booleans": th.tensor([True, False]),
        "slice": th.arange(9.0)[3:5],
        "transposed": th.arange(6.0).reshape(2, 3).t(),
        "channels last": th.zeros(2, 3, 4, 4).contiguous(memory_format=th.channels_last),
        "empty": th.zeros(0, 3),
    }
    buffer = io.BytesIO()
    th.save(state, buffer)
    found = read(buffer.getvalue())
    assert found.keys() == state.keys()
    assert all(th.equal(found[name], state[name]) for name in state)


def test_ignores_other_records() -> None:
    """With constants.pkl torch would load the file as TorchScript."""
    found = read(made({**RECORDS, "constants.pkl": b"", "data/9": bytes(4)}))
    assert all(th.equal(found[name], STATE[name]) for name in STATE)


def test_reads_files_of_torch_before_2_1() -> None:
    """They have no record of the byte order."""
    records = unpack(made())
    del records["archive/byteorder"]
    found = read(pack(records))
    assert all(th.equal(found[name], STATE[name]) for name in STATE)


#: Nested tuples, each of twice the same one, 60 deep: hashing them takes exponential time.
DEEP_KEY = b"\x80\x02})" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\x01s."


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
        made({"data/0": RECORDS["data/0"]}),
        b"\x80\x02}.",
        *(
            pack_policy(pickled, RECORDS)
            for pickled in (
                b"",
                PICKLE[:-1],
                b"\x80\x04" + PICKLE[2:],
                PICKLE[:-1] + b"q\x00" * MAX_PICKLE + b".",
                state_pickle([("a", text("x"))]),
                b"\x80\x02}.",
                b"\x80\x02cos\nsystem\n.",
                PICKLE.replace(text("a"), b"K\x01"),
                DEEP_KEY,
            )
        ),
    ],
)
def test_rejects_anything_but_tensors(policy: bytes) -> None:
    with pytest.raises(AgentFileError, match=r"^p\.pth: "):
        read(policy)


def test_rejects_bytearray_without_allocating() -> None:
    """torch.load would allocate it before any check."""
    gigabyte = b"\x80\x02}" + text("a") + b"c__builtin__\nbytearray\nJ\0\0\0@\x85Rs."
    with pytest.raises(AgentFileError, match=r"^p\.pth: .*GLOBAL .*bytearray"):
        read(pack_policy(gigabyte, {}))


def test_shared_storage_counts_for_each_tensor() -> None:
    wide = Tensor("0", (50,), (1,), 50)
    policy = pack_policy(state_pickle([("a", wide), ("b", wide)]), {"data/0": bytes(200)})
    assert len(read(policy, max_bytes=400)) == 2
    with pytest.raises(AgentFileError, match="400 bytes, more than max_bytes=399"):
        read(policy, max_bytes=399)


GOOD = pack({"a": b"first", "b/c": b"second"})


def test_read_members_returns_all_files_of_a_zip() -> None:
    assert read_members(GOOD, "x.zip") == {"a": b"first", "b/c": b"second"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pack({"data": b"1", "DATA": b"2"}),
        pack({"a": bytes(99)}, zipfile.ZIP_DEFLATED),
        pack({str(i): b"" for i in range(2001)}),
        GOOD.replace(b"first", b"First"),
        GOOD[:30] + b"b" + GOOD[31:],
    ],
)
def test_rejects_zips_that_sb3_does_not_write(content: bytes) -> None:
    with pytest.raises(AgentFileError, match=r"^x\.zip: "):
        read_members(content, "x.zip")


def test_rejects_overlapping_members() -> None:
    """Each may be as large as the file; a thousand would exhaust the RAM."""
    buffer = io.BytesIO(pack({"a": bytes(999)}))
    with zipfile.ZipFile(buffer, "a") as file:
        for name in ("b", "c"):
            info = file.getinfo("a")
            other = zipfile.ZipInfo(name)
            other.header_offset, other.CRC = info.header_offset, info.CRC
            other.file_size = other.compress_size = info.file_size
            file.filelist.append(other)
        file._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(AgentFileError, match="larger than the file"):
        read_members(buffer.getvalue(), "x.zip")
