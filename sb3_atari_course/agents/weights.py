"""Opening an agent's files safely: regular files, plain zips, tensors without unpickling."""

from __future__ import annotations

import io
import json
import pickletools
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch as th

#: More than any agent has: a policy's file holds one member for each tensor.
MAX_MEMBERS = 2000
#: Of ``data.pkl``, in bytes; that of a hundred tensors has 20 kB.
MAX_PICKLE = 2**20

#: Class of a storage, as the pickle names it -> bytes of one number.
_ITEM_SIZES = {
    f"torch {name}Storage": n_bytes
    for n_bytes, names in {
        8: ("Double", "Long"),
        4: ("Float", "Int"),
        2: ("Half", "BFloat16", "Short"),
        1: ("Char", "Byte", "Bool"),
    }.items()
    for name in names
}
_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *_ITEM_SIZES}
_INTEGERS = {"BININT", "BININT1", "BININT2", "LONG1"}
_PUTS, _GETS = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
#: What torch.save fetches again: never a tuple, of which a few could nest beyond all bounds.
_MEMOIZED = {"BINUNICODE", "GLOBAL", "REDUCE"}
_OPCODES = {
    *("PROTO", "STOP", "MARK", "REDUCE", "BUILD", "BINPERSID", "SETITEM", "SETITEMS"),
    *("EMPTY_DICT", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NEWTRUE", "NEWFALSE"),
    *("GLOBAL", "BINUNICODE", *_INTEGERS, *_PUTS, *_GETS),
}
#: A storage: its class, the name of its record, its device, how many numbers it has.
_STORAGE = ["MARK", "BINUNICODE", "GLOBAL", "BINUNICODE", "BINUNICODE", "integer", "TUPLE"]


class AgentFileError(ValueError):
    """An agent's zip or card that is not opened: damaged, hostile, or of another environment."""


def refuse(path: Path | str, problem: object, remedy: str = "") -> AgentFileError:
    """Return the error for a file.

    :param path: of the file, with the member inside it if there is one.
    :param problem: what is wrong; cut, because a file may have chosen its length.
    :param remedy: what to do about it.
    """
    text = " ".join(str(problem).split())
    text = text if len(text) <= 600 else f"{text[:600]}..."
    return AgentFileError(f"{path}: {text}" + (f": {remedy}" if remedy else ""))


def find_agent(path: Path) -> Path:
    """Return the zip that a path means: itself, with ``.zip`` added, or a folder's only one.

    :raises FileNotFoundError: if there is none.
    :raises AgentFileError: if a folder has more than one.
    """
    if path.is_dir():
        zips = sorted(path.glob("*.zip"))
        if not zips:
            raise FileNotFoundError(f"the folder {path} has no .zip of an agent")
        if len(zips) > 1:
            names = [one.name for one in zips[:5]]
            raise refuse(path, f"the folder has {len(zips)} zips", f"name one of them: {names}")
        return zips[0]
    with_suffix = path.with_name(f"{path.name}.zip")
    return with_suffix if not path.exists() and with_suffix.exists() else path


def read_file(path: Path, *, max_bytes: int, remedy: str = "") -> bytes:
    """Return the content of a regular file; a link is followed.

    :param remedy: what to do about a larger one.
    :raises FileNotFoundError: if it is not there.
    :raises AgentFileError: if it is a pipe, a device or a folder, or larger; it is not read then.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise refuse(path, "it is not a regular file")
    if found.st_size > max_bytes:
        raise refuse(path, f"it has {found.st_size} bytes, more than {max_bytes}", remedy)
    return path.read_bytes()


def parse_json(content: bytes, path: Path | str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    :raises AgentFileError: if it is not one, or nests too deep for Python.
    """
    try:
        tree = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"it is not plain JSON ({error})") from None
    if not isinstance(tree, dict):
        raise refuse(path, "it is not a JSON object")
    return tree


def read_members(data: bytes, path: Path | str) -> dict[str, bytes]:
    """Return the content of each member of a zip as SB3 and torch write it: uncompressed.

    Nothing unpacks to more than the file's own size.

    :param data: the whole zip.
    :param path: for messages.
    :raises AgentFileError: for anything but an undamaged zip of uncompressed files.
    """
    try:
        if data.count(b"PK\1\2") > MAX_MEMBERS:  # how each entry of its directory begins
            raise ValueError("it has too many members")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len({one.filename.lower() for one in members}) != len(members):
                raise ValueError("two members have one name")  # for torch, "A" and "a" are one
            if any(one.compress_type for one in members):
                raise ValueError("a member is compressed, which SB3 does not do")
            if sum(one.file_size for one in members) > len(data):
                raise ValueError("its members are larger than the file")
            return {one.filename: archive.read(one) for one in members}
    except (zipfile.BadZipFile, struct.error, EOFError, RuntimeError, OSError, ValueError) as error:
        advice = "it is damaged, or not a file that SB3 has saved; fetch it again"
        raise refuse(path, error, advice) from None


def read_weights(data: bytes, path: Path | str, *, max_bytes: int) -> dict[str, th.Tensor]:
    """Return the tensors of a state dict, on the CPU.

    The pickle inside is checked opcode by opcode against what the pickle of a state dict needs.
    Then torch reads it with ``weights_only`` from a new zip, which holds nothing but that
    pickle and the records of its tensors.

    :param data: ``policy.pth``.
    :param path: for messages.
    :param max_bytes: of all tensors together, counted one by one even if they share numbers.
    :raises AgentFileError: if it is anything but a state dict that :func:`torch.save` wrote, or
        some number in it is not finite.
    """
    if data[:2] != b"PK":
        raise refuse(
            path,
            "it is not a zip, which torch writes since version 1.6",
            "open it where you trust it with SB3's own load, and save it again",
        )
    records = {name.partition("/")[2]: one for name, one in read_members(data, path).items()}
    try:
        tensors = _load(records)
    except MemoryError:
        raise
    except Exception as error:  # truncated opcodes, missing records, whatever torch raises
        raise refuse(path, f"it is not a plain state dict ({error!r})") from None
    n_bytes = sum(tensor.numel() * tensor.itemsize for tensor in tensors.values())
    if n_bytes > max_bytes:
        raise refuse(path, f"its tensors have {n_bytes} bytes, more than max_bytes={max_bytes}")
    for name, tensor in tensors.items():
        if not th.isfinite(tensor).all():
            raise refuse(
                path,
                f"{name} is infinite or not a number in places",
                "the training had diverged, or the file is damaged; take an earlier one",
            )
    return tensors


def _load(records: dict[str, bytes]) -> dict[str, th.Tensor]:
    always = ("data.pkl", "version", "byteorder")  # the last one since torch 2.1
    kept = {name: records[name] for name in always if name in records}
    for name, n_bytes in _storages(records["data.pkl"]).items():
        kept[name] = records[name]
        if len(kept[name]) != n_bytes:  # torch before 2.10 reads beyond one that is too short
            raise ValueError(f"{name} has {len(kept[name])} bytes, its tensors {n_bytes}")
    canonical = io.BytesIO()
    with zipfile.ZipFile(canonical, "w") as archive:
        for name, content in kept.items():
            archive.writestr(f"archive/{name}", content)
    canonical.seek(0)
    tensors = dict(th.load(canonical, map_location="cpu", weights_only=True))
    if {(type(name), type(one)) for name, one in tensors.items()} != {(str, th.Tensor)}:
        raise ValueError("it is not a dictionary of tensors")
    return tensors


def _storages(pickled: bytes) -> dict[str, int]:
    """Check the pickle of a state dict; return the records that it reads, and their sizes.

    :raises ValueError: if it holds what no state dict needs.
    """
    if len(pickled) > MAX_PICKLE:
        raise ValueError(f"its data.pkl has {len(pickled)} bytes, more than {MAX_PICKLE}")
    done: list[tuple[str, Any]] = []  # opcodes that leave something on the stack, and what
    memo: dict[Any, tuple[str, Any]] = {}
    sizes: dict[str, int] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        is_known = name in _OPCODES and (name != "GLOBAL" or argument in _GLOBALS)
        if not is_known or (name == "PROTO" and argument != 2):
            raise ValueError(f"it has {name} {str(argument)[:100]!r}, which no state dict needs")
        if name in _PUTS:
            memo[argument] = done[-1]
            continue
        if name in _GETS:
            name, argument = memo[argument]
            if name not in _MEMOIZED:
                raise ValueError(f"it repeats {name}, which no state dict does")
        if name == "BINPERSID":
            if [name for name, _ in done[-7:]] != _STORAGE:
                raise ValueError("it has a reference that is not a storage")
            _, kind, key, _, n_items = (value for _, value in done[-6:-1])
            sizes.setdefault(f"data/{key}", n_items * _ITEM_SIZES[kind])
        done.append(("integer" if name in _INTEGERS else name, argument))
    return sizes
