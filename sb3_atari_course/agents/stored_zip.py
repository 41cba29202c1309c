"""The members of a zip in which every byte has one meaning only.

A zip can be read in two ways: by its directory at the end, or from its start, header by header.
Readers that differ in this see different files (torch's reader is not Python's). Here both must
agree, and all members lie one after the other, uncompressed, as SB3 and torch write them: what is
declared is what there is, so that nothing can unpack to more than the file's own size.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from sb3_atari_course.agents.errors import refuse

#: More than any agent has: a policy's file holds one member for each tensor.
MAX_MEMBERS = 2000
#: Of the directory, in bytes.
MAX_DIRECTORY = 2**20

#: A part of a name: letters that no file system or reader takes for anything else.
_PLAIN_PART = re.compile(rb"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_SATURATED = 2**32 - 1
_DESCRIPTOR_FLAG, _ALLOWED_FLAGS = 0x8, 0x808
_ADVICE = "it is damaged, or no file that SB3 has saved; fetch it again"


class _Entry(NamedTuple):
    name: bytes
    version: int
    flags: int
    time: int
    date: int
    crc: int
    size: int
    offset: int


def read_members(data: memoryview, path: Path | str) -> dict[str, memoryview]:
    """Return the content of each member, without a copy, in their order.

    :param data: the whole zip.
    :param path: for messages.
    :raises AgentFileError: for any other thing than an undamaged zip of uncompressed files.
    """
    try:
        return _read_members(data)
    except (_NotPlainError, struct.error) as error:
        raise refuse(path, error, _ADVICE) from None


class _NotPlainError(Exception):
    """Why a zip is not read."""


def _read_members(data: memoryview) -> dict[str, memoryview]:
    n_entries, start, stop = _find_directory(data)
    members: dict[str, memoryview] = {}
    seen: set[str] = set()
    position = offset = 0
    for _ in range(n_entries):
        entry, offset = _read_entry(data, start, offset, stop)
        name = entry.name.decode("ascii")
        if name.lower() in seen:  # torch looks records up without regard to case
            raise _NotPlainError(f"two members have the name {name!r}")
        seen.add(name.lower())
        if entry.offset != position:
            raise _NotPlainError(f"member {name!r} does not follow the one before it")
        begin, end, position = _read_local(data[:start], entry)
        members[name] = data[begin:end]
        if zlib.crc32(members[name]) != entry.crc:
            raise _NotPlainError(f"the checksum of member {name!r} is wrong")
    if start + offset != stop or position != start:
        raise _NotPlainError("there are bytes that belong to no member")
    return members


def _find_directory(data: memoryview) -> tuple[int, int, int]:
    """Return the number of entries, and where their directory starts and stops."""
    end_at = len(data) - _END.size
    if end_at < 0 or bytes(data[end_at : end_at + 4]) != b"PK\5\6":
        raise _NotPlainError("it is no zip, or its end is missing")
    _, disk, first_disk, n_here, n_entries, size, start, n_comment = _END.unpack(data[end_at:])
    stop = end_at
    locator_at = end_at - _LOCATOR_64.size
    if locator_at >= 0 and bytes(data[locator_at : locator_at + 4]) == b"PK\6\7":
        stop = locator_at - _END_64.size
        if stop < 0 or _LOCATOR_64.unpack(data[locator_at:end_at])[1:] != (0, stop, 1):
            raise _NotPlainError("its end is not where it says")
        wide = _END_64.unpack(data[stop:locator_at])
        if wide[0] != b"PK\6\6" or wide[1] != _END_64.size - 12:
            raise _NotPlainError("its end is not where it says")
        if wide[4:] != (0, 0, n_entries, n_entries, size, start):
            raise _NotPlainError("its two directories differ")
    if (disk, first_disk, n_comment) != (0, 0, 0) or n_here != n_entries:
        raise _NotPlainError("it is part of something larger, or has a comment")
    if n_entries > MAX_MEMBERS or size > MAX_DIRECTORY:
        raise _NotPlainError(f"it has {n_entries} members, more than {MAX_MEMBERS} or long names")
    if start + size != stop:
        raise _NotPlainError("its directory is not where it says")
    return n_entries, start, stop


def _read_entry(data: memoryview, start: int, offset: int, stop: int) -> tuple[_Entry, int]:
    """Return one entry of the directory, and the offset of the next."""
    fixed = data[start + offset : min(start + offset + _CENTRAL.size, stop)]
    fields = _CENTRAL.unpack(fixed)
    version, flags, method, time, date, crc, packed, size = fields[2:10]
    n_name, n_extra, n_comment, disk, _, attributes, at = fields[10:]
    offset += _CENTRAL.size
    name = bytes(data[start + offset : start + offset + n_name])
    if not all(map(_PLAIN_PART.fullmatch, name.split(b"/"))):
        raise _NotPlainError(f"{name[:100]!r} is no plain name of a member")
    if fields[0] != b"PK\1\2" or disk or n_comment or flags & ~_ALLOWED_FLAGS:
        raise _NotPlainError(f"the directory's entry of {name!r} is none that SB3 writes")
    if method != 0 or packed != size:
        raise _NotPlainError(f"member {name!r} is compressed, which SB3 does not do")
    if stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG) or attributes & 0x10:
        raise _NotPlainError(f"member {name!r} is no file but a link or a folder")
    if _SATURATED in (size, at):
        raise _NotPlainError(f"member {name!r} is larger than any agent")
    entry = _Entry(name, version, flags, time, date, crc, size, at)
    return entry, offset + n_name + n_extra


def _read_local(data: memoryview, entry: _Entry) -> tuple[int, int, int]:
    """Return where a member's data begin and end, and where the next member starts."""
    at = entry.offset + _LOCAL.size
    fields = _LOCAL.unpack(data[entry.offset : at])
    version, flags, method, time, date, crc, packed, size, n_name, n_extra = fields[1:]
    extra = bytes(data[at + n_name : at + n_name + n_extra])
    begin = at + n_name + n_extra
    end = begin + entry.size
    if fields[0] != b"PK\3\4" or bytes(data[at : at + n_name]) != entry.name or end > len(data):
        raise _NotPlainError(f"member {entry.name!r} is not where the directory says")
    shared = (version, flags, method, time, date)
    told = (crc, packed, size)
    wanted = (entry.crc, entry.size, entry.size)
    if flags & _DESCRIPTOR_FLAG:  # told behind the data instead
        end_of_member = _read_descriptor(data, end, wanted)
        agrees = told in ((0, 0, 0), wanted)
    else:
        end_of_member = end
        wide = struct.pack("<2H2Q", 1, 16, entry.size, entry.size)
        agrees = told == wanted or (
            told == (entry.crc, _SATURATED, _SATURATED) and extra.startswith(wide)
        )
    if not agrees or shared != (entry.version, entry.flags, 0, entry.time, entry.date):
        raise _NotPlainError(f"member {entry.name!r} and the directory do not agree")
    return begin, end, end_of_member


def _read_descriptor(data: memoryview, at: int, wanted: tuple[int, int, int]) -> int:
    """Return where a member ends whose size and checksum stand behind its data."""
    for form in ("<4s3L", "<4sL2Q"):
        end = at + struct.calcsize(form)
        if bytes(data[at:end]) == struct.pack(form, b"PK\7\10", *wanted):
            return end
    raise _NotPlainError("what stands behind a member's data does not agree with the directory")
