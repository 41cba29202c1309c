"""Safe reading of agent files: regular files, uncompressed zips, tensors without unpickling."""

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

#: Maximum members of a zip; ``policy.pth`` has one per tensor.
MAX_MEMBERS = 2000
#: Maximum size of ``data.pkl``, in bytes; that of a hundred tensors has 20 kB.
MAX_PICKLE = 2**20

#: Storage class, as named in the pickle -> bytes per number.
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
#: Opcodes whose results torch.save reads back from the memo: never tuples, which could nest to
#: exponential size.
_MEMOIZED = {"BINUNICODE", "GLOBAL", "REDUCE"}
_OPCODES = {
    *("PROTO", "STOP", "MARK", "REDUCE", "BUILD", "BINPERSID", "SETITEM", "SETITEMS"),
    *("EMPTY_DICT", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NEWTRUE", "NEWFALSE"),
    *("GLOBAL", "BINUNICODE", *_INTEGERS, *_PUTS, *_GETS),
}
#: Opcodes of a storage reference: "storage", class, record name, device, number of elements.
_STORAGE = ["MARK", "BINUNICODE", "GLOBAL", "BINUNICODE", "BINUNICODE", "integer", "TUPLE"]


class AgentFileError(ValueError):
    """An agent's zip or model card is damaged, malicious, or of another environment."""


def refuse(path: Path | str, problem: object, remedy: str = "") -> AgentFileError:
    """Return an ``AgentFileError`` for a file.

    :param path: path of the file, with the member inside it if there is one.
    :param problem: what is wrong; truncated, since a file may control its length.
    :param remedy: what to do about it.
    """
    text = " ".join(str(problem).split())
    text = text if len(text) <= 600 else f"{text[:600]}..."
    return AgentFileError(f"{path}: {text}" + (f": {remedy}" if remedy else ""))


def find_agent(path: Path) -> Path:
    """Return the path of a zip: the path itself, with ``.zip`` added, or a folder's only zip.

    :raises FileNotFoundError: if a folder has none.
    :raises AgentFileError: if a folder has more than one.
    """
    if path.is_dir():
        zips = sorted(path.glob("*.zip"))
        if not zips:
            raise FileNotFoundError(f"the folder {path} contains no .zip of an agent")
        if len(zips) > 1:
            names = [one.name for one in zips[:5]]
            raise refuse(path, f"the folder has {len(zips)} zips", f"pass one of them: {names}")
        return zips[0]
    with_suffix = path.with_name(f"{path.name}.zip")
    return with_suffix if not path.exists() and with_suffix.exists() else path


def read_file(path: Path, *, max_bytes: int, remedy: str = "") -> bytes:
    """Return the content of a regular file; symbolic links are followed.

    :param path: path of the file.
    :param max_bytes: maximum size; a larger file is not read.
    :param remedy: what to do about a larger file, for the message.
    :raises FileNotFoundError: if it does not exist.
    :raises AgentFileError: if it is a pipe, a device or a folder, or too large.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise refuse(path, "it is not a regular file")
    if found.st_size > max_bytes:
        raise refuse(path, f"it has {found.st_size} bytes, more than {max_bytes}", remedy)
    return path.read_bytes()


def parse_json(content: bytes, path: Path | str) -> dict[str, Any]:
    """Parse a JSON object.

    :raises AgentFileError: if it is not one, or is nested too deeply for Python.
    """
    try:
        tree = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"it is not plain JSON ({error})") from None
    if not isinstance(tree, dict):
        raise refuse(path, "it is not a JSON object")
    return tree


def read_members(data: bytes, path: Path | str) -> dict[str, bytes]:
    """Return the content of each member of an uncompressed zip, as SB3 and torch write it.

    The members together are never larger than the zip.

    :param data: content of the zip.
    :param path: its path, for messages.
    :return: name of the member -> content.
    :raises AgentFileError: if the zip is damaged, compressed, or has too many or duplicate members.
    """
    try:
        if data.count(b"PK\1\2") > MAX_MEMBERS:  # signature of a directory entry
            raise ValueError("it has too many members")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len({one.filename.lower() for one in members}) != len(members):
                raise ValueError("two members have the same name")  # torch ignores case
            if any(one.compress_type for one in members):
                raise ValueError("a member is compressed, which SB3 does not do")
            if sum(one.file_size for one in members) > len(data):
                raise ValueError("its members are larger than the file")
            return {one.filename: archive.read(one) for one in members}
    except (zipfile.BadZipFile, struct.error, EOFError, RuntimeError, OSError, ValueError) as error:
        advice = "it is damaged, or was not saved by SB3; download it again"
        raise refuse(path, error, advice) from None


def read_weights(data: bytes, path: Path | str, *, max_bytes: int) -> dict[str, th.Tensor]:
    """Return the tensors of a state dict, on the CPU.

    The opcodes of its pickle are checked against those that a state dict needs. Then torch reads it
    with ``weights_only`` from a new zip that contains only the pickle and the records of the
    tensors.

    :param data: content of ``policy.pth``.
    :param path: its path, for messages.
    :param max_bytes: maximum size of all tensors together; shared storage counts for each tensor.
    :return: name -> tensor.
    :raises AgentFileError: if it is not a state dict written by :func:`torch.save`, is too large,
        or contains a number that is not finite.
    """
    if data[:2] != b"PK":
        raise refuse(
            path,
            "it is not a zip, the format of torch since version 1.6",
            "if you trust the file, load it with SB3's own load, and save it again",
        )
    records = {name.partition("/")[2]: one for name, one in read_members(data, path).items()}
    try:
        tensors = _load(records)
    except MemoryError:
        raise
    except Exception as error:  # truncated opcodes, missing records, errors of torch
        raise refuse(path, f"it is not a plain state dict ({error!r})") from None
    n_bytes = sum(tensor.numel() * tensor.itemsize for tensor in tensors.values())
    if n_bytes > max_bytes:
        raise refuse(path, f"its tensors have {n_bytes} bytes, more than max_bytes={max_bytes}")
    for name, tensor in tensors.items():
        if not th.isfinite(tensor).all():
            raise refuse(
                path,
                f"{name} contains infinity or NaN",
                "training diverged, or the file is damaged; use an earlier model",
            )
    return tensors


def _load(records: dict[str, bytes]) -> dict[str, th.Tensor]:
    always = ("data.pkl", "version", "byteorder")  # the last one since torch 2.1
    kept = {name: records[name] for name in always if name in records}
    for name, n_bytes in _storages(records["data.pkl"]).items():
        kept[name] = records[name]
        if len(kept[name]) != n_bytes:  # torch before 2.10 reads beyond a short record
            raise ValueError(f"{name} has {len(kept[name])} bytes, its tensors need {n_bytes}")
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
    """Check the pickle of a state dict; return its records and their sizes in bytes.

    :raises ValueError: if it contains anything that a state dict does not need.
    """
    if len(pickled) > MAX_PICKLE:
        raise ValueError(f"its data.pkl has {len(pickled)} bytes, more than {MAX_PICKLE}")
    done: list[tuple[str, Any]] = []  # opcodes that push a value, and the value
    memo: dict[Any, tuple[str, Any]] = {}
    sizes: dict[str, int] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        is_known = name in _OPCODES and (name != "GLOBAL" or argument in _GLOBALS)
        if not is_known or (name == "PROTO" and argument != 2):
            raise ValueError(
                f"it contains {name} {str(argument)[:100]!r}, which a state dict does not need"
            )
        if name in _PUTS:
            memo[argument] = done[-1]
            continue
        if name in _GETS:
            name, argument = memo[argument]
            if name not in _MEMOIZED:
                raise ValueError(f"it repeats {name}, which a state dict does not")
        if name == "BINPERSID":
            if [name for name, _ in done[-7:]] != _STORAGE:
                raise ValueError("it contains a reference that is not a storage")
            _, kind, key, _, n_items = (value for _, value in done[-6:-1])
            sizes.setdefault(f"data/{key}", n_items * _ITEM_SIZES[kind])
        done.append(("integer" if name in _INTEGERS else name, argument))
    return sizes
