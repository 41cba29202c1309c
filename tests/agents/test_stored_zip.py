"""Zips in which every byte has one meaning only."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from sb3_atari_course.agents.errors import AgentFileError
from sb3_atari_course.agents.stored_zip import read_members
from tests.agents.making import pack

GOOD = pack({"a": b"first", "b/c": b"second"})
DIRECTORY = GOOD.index(b"PK\1\2")
SECOND = GOOD.index(b"PK\3\4", 4)


def refuse(content: bytes, match: str) -> None:
    with pytest.raises(AgentFileError, match=match):
        read_members(memoryview(content), "x.zip")


def with_gap() -> bytes:
    """Return a zip with bytes between two members, which its directory steps over."""
    content = bytearray(GOOD[:SECOND] + b"hidden" + GOOD[SECOND:])
    entry = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    struct.pack_into("<L", content, entry + 42, SECOND + 6)
    struct.pack_into("<L", content, len(content) - 6, DIRECTORY + 6)
    return bytes(content)


def test_members_are_read_without_a_copy() -> None:
    members = read_members(memoryview(GOOD), "x.zip")
    assert {name: bytes(view) for name, view in members.items()} == {
        "a": b"first",
        "b/c": b"second",
    }
    assert all(view.obj is GOOD for view in members.values())


def test_hidden_bytes_are_refused_that_python_would_step_over() -> None:
    content = with_gap()
    assert zipfile.ZipFile(io.BytesIO(content)).read("b/c") == b"second"
    refuse(content, "does not follow the one before it")


def test_names_differ_whatever_their_case() -> None:
    refuse(pack({"data": b"1", "DATA": b"2"}), "two members have the name 'DATA'")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no zip"),
        (GOOD + b"\0", "no zip"),
        (GOOD[:-2] + b"\1\0" + b"c", "no zip"),
        (GOOD[:-2] + b"\1\0", "has a comment"),
        (GOOD[:-14] + b"\1" + GOOD[-13:], "part of something larger"),
        (b"\0" + GOOD, "directory is not where it says"),
        (pack({"../a": b""}), "no plain name"),
        (pack({"a/": b""}), "no plain name"),
        (pack({"a": bytes(99)}, zipfile.ZIP_DEFLATED), "compressed"),
        (pack({str(i): b"" for i in range(2001)}), "2001 members, more than 2000"),
        (GOOD.replace(b"first", b"First"), "checksum of member 'a'"),
        (GOOD[:10] + b"\1" + GOOD[11:], "do not agree"),
        (GOOD[:30] + b"b" + GOOD[31:], "not where the directory says"),
    ],
)
def test_anything_else_is_refused(content: bytes, match: str) -> None:
    refuse(content, match)
