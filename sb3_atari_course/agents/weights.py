"""Opening an agent's files safely: regular files, plain zips, tensors without unpickling."""

from __future__ import annotations

import io
import json
import os
import pickletools
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch as th

#: More than any agent has: a policy's file holds one member for each tensor.
MAX_MEMBERS = 2000
#: Of ``data.pkl``, in bytes; that of a hundred tensors has 20 kB.
MAX_PICKLE = 2**20

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})*", re.ASCII)
#: What torch.save writes beside the pickle and the numbers.
_SMALL_RECORDS = {
    ".data/serialization_id",
    ".format_version",
    ".storage_alignment",
    "byteorder",
    "version",
}
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
    text = str(problem)
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
    if not path.exists() and with_suffix.exists():
        return with_suffix
    return path


def read_file(path: Path, *, max_bytes: int, remedy: str = "") -> bytes:
    """Return the content of a regular file.

    A link is followed, a pipe or a device is not waited for.

    :param remedy: what to do about a larger one.
    :raises FileNotFoundError: if it is not there.
    :raises AgentFileError: if it is no regular file, or larger; it was not read then.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise refuse(path, "it is no regular file")
        if found.st_size > max_bytes:
            raise refuse(path, f"it has {found.st_size} bytes, more than {max_bytes}", remedy)
        with os.fdopen(handle, "rb", closefd=False) as file:  # it cannot take a folder
            content = file.read(found.st_size + 1)
    finally:
        os.close(handle)
    if len(content) != found.st_size:
        raise refuse(path, "its size changed while it was read")
    return content


def parse_json(content: bytes, path: Path | str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    :raises AgentFileError: if it is none, names a key twice, or nests too deep for Python.
    """
    try:
        tree = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique_keys, parse_int=_short_integer
        )
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"it is no plain JSON ({error})") from None
    if not isinstance(tree, dict):
        raise refuse(path, "it is no JSON object")
    return tree


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)


def _short_integer(digits: str) -> int:
    if len(digits) > 40:  # reading a longer one takes the square of its length; PCG64 has 39
        raise ValueError("an integer has more than 40 digits")
    return int(digits)


def read_members(data: bytes, path: Path | str) -> dict[str, bytes]:
    """Return the content of each member of a zip as SB3 and torch write it: uncompressed.

    What is declared is what there is, so that nothing unpacks to more than the file's own size.

    :param data: the whole zip.
    :param path: for messages.
    :raises AgentFileError: for anything but an undamaged zip of uncompressed files.
    """
    advice = "it is damaged, or not a file that SB3 has saved; fetch it again"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            problem = _problem_of(archive, data)
            if problem:
                raise refuse(path, problem, advice)
            return {member.filename: archive.read(member) for member in archive.infolist()}
    except AgentFileError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        RuntimeError,
        OSError,
        ValueError,
    ) as error:  # what zipfile raises for damaged files
        raise refuse(path, error, advice) from None


def _problem_of(archive: zipfile.ZipFile, data: bytes) -> str:
    """Return what forbids to read the members of a zip, "" if nothing does."""
    members = archive.infolist()
    if not 0 < len(members) <= MAX_MEMBERS:
        return f"it has {len(members)} members, not 1 to {MAX_MEMBERS}"
    if len({member.filename.lower() for member in members}) != len(members):
        return "two members have one name"  # torch looks records up without regard to case
    if members[0].header_offset or archive.comment or data[-22:-18] != b"PK\5\6":
        return "there are bytes before or behind it"
    if sum(member.file_size for member in members) > len(data):
        return "its members are larger than the file"
    for member in members:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        if not _NAME.fullmatch(name) or kind not in (0, stat.S_IFREG):
            return f"member {name[:100]!r} is not a plain file"
        if member.compress_type or member.compress_size != member.file_size:
            return f"member {name!r} is compressed, which SB3 does not do"
    return ""


class Weights:
    """The tensors of a file: known by name, shape and dtype at once, read when asked for.

    The pickle inside is checked opcode by opcode against what the pickle of a state dict needs.
    Then torch reads it with ``weights_only`` from a zip written anew, so that it cannot find
    anything else there than Python has.

    :param data: ``policy.pth``.
    :param path: for messages.
    :param max_bytes: of all tensors together, counted one by one even if they share numbers.
    :raises AgentFileError: if it is anything but a state dict that :func:`torch.save` wrote.
    """

    def __init__(self, data: bytes, path: Path | str, *, max_bytes: int) -> None:
        self._path = path
        if data[:2] != b"PK":
            raise refuse(
                path,
                "it is not a zip, which torch writes since version 1.6",
                "open it where you trust it with SB3's own load, and save it again",
            )
        members = read_members(data, path)
        records = {name.partition("/")[2]: content for name, content in members.items()}
        if len({name.partition("/")[0] for name in members}) != 1 or "data.pkl" not in records:
            raise refuse(path, "its records do not lie in one folder, or data.pkl is missing")
        try:
            wanted = _storages(records["data.pkl"])
        except Exception as error:  # a truncated opcode, a memo that was never written, ...
            raise refuse(path, f"its data.pkl is not a plain state dict: {error}") from None
        found = {
            name: len(content)
            for name, content in records.items()
            if name != "data.pkl" and name not in _SMALL_RECORDS
        }
        if found != wanted:  # older versions of torch read beyond a record that is too short
            odd = sorted(name for name, _ in found.items() ^ wanted.items())[:3]
            raise refuse(path, f"its records are not those of its tensors, see {odd}")
        canonical = io.BytesIO()
        with zipfile.ZipFile(canonical, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        self._data = canonical.getvalue()
        #: Name -> tensor on the meta device.
        self.plan = self._load("meta")
        n_bytes = sum(tensor.numel() * tensor.itemsize for tensor in self.plan.values())
        if n_bytes > max_bytes:
            raise refuse(path, f"its tensors have {n_bytes} bytes, more than max_bytes={max_bytes}")

    def read(self) -> dict[str, th.Tensor]:
        """Return the tensors, on the CPU.

        :raises AgentFileError: if torch cannot read them, or some are not finite.
        """
        loaded = self._load("cpu")
        for name, tensor in loaded.items():
            if tensor.is_floating_point() and not th.isfinite(tensor).all():
                raise refuse(
                    self._path,
                    f"{name} is infinite or not a number in places",
                    "the training had diverged, or the file is damaged; take an earlier one",
                )
        return loaded

    def _load(self, device: str) -> dict[str, th.Tensor]:
        try:
            loaded = th.load(io.BytesIO(self._data), map_location=device, weights_only=True)
            tensors = dict(loaded)
            if not tensors or not all(
                type(name) is str and type(one) is th.Tensor for name, one in tensors.items()
            ):
                raise ValueError("it is not a dictionary of tensors")
        except MemoryError:
            raise
        except Exception as error:  # torch has no error of its own for damaged files
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise refuse(self._path, f"torch cannot read it ({reason})") from None
        return tensors


def _storages(pickled: bytes) -> dict[str, int]:
    """Check the pickle of a state dict; return the records that it reads, and their sizes.

    :raises ValueError: if it holds what no state dict needs.
    """
    if len(pickled) > MAX_PICKLE:
        raise ValueError(f"it has {len(pickled)} bytes, more than {MAX_PICKLE}")
    done: list[tuple[str, Any]] = []  # opcodes that leave something on the stack, and what
    memo: dict[int, tuple[str, Any]] = {}
    storages: dict[str, tuple[str, int]] = {}
    argument: Any
    end: int | None = None
    for opcode, argument, position in pickletools.genops(pickled):
        name, end = opcode.name, position
        _check_opcode(name, argument)
        if name in _PUTS:
            memo[argument] = done[-1]
            continue
        if name in _GETS:
            name, argument = memo[argument]
            if name not in _MEMOIZED:
                raise ValueError(f"it repeats {name}, which no state dict does")
        if name == "BINPERSID":
            record, storage = _storage(done)
            if storages.setdefault(record, storage) != storage:
                raise ValueError(f"it reads {record} as numbers of another type or size")
        done.append(("integer" if name in _INTEGERS else name, argument))
    if end != len(pickled) - 1:
        raise ValueError("it does not end where it should")
    return {name: size * _ITEM_SIZES[kind] for name, (kind, size) in storages.items()}


def _check_opcode(name: str, argument: Any) -> None:
    is_known = name in _OPCODES and (name != "GLOBAL" or argument in _GLOBALS)
    if not is_known or (name == "PROTO" and argument != 2):
        raise ValueError(f"it has {name} {str(argument)[:100]!r}, which no state dict needs")


def _storage(done: list[tuple[str, Any]]) -> tuple[str, tuple[str, int]]:
    """Return the record of the storage that was described last, its type and number of items."""
    if [name for name, _ in done[-7:]] != _STORAGE:
        raise ValueError("it has a reference that is not a storage")
    _, kind, key, _, size = (value for _, value in done[-6:-1])
    if kind not in _ITEM_SIZES or not re.fullmatch(r"\d{1,6}", key, re.ASCII):
        raise ValueError(f"it has a storage of unknown type or name: {kind}, {key[:100]!r}")
    return f"data/{key}", (kind, size)


def compare(
    found: Mapping[str, th.Tensor], wanted: Mapping[str, th.Tensor], path: Path | str
) -> None:
    """Raise an error unless a file holds what a policy needs.

    :param found: the tensors of the file, which may be on the meta device too.
    :param wanted: the policy's state dict; its tensors may be on the meta device.
    :param path: for messages.
    :raises AgentFileError: naming the first tensor that differs.
    """
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is one too many" for name in found if name not in wanted]
    for name in wanted:
        if name not in found or problems:
            continue
        told, need = found[name], wanted[name]
        if told.shape != need.shape:
            problems.append(
                f"{name} is {tuple(told.shape)}, the env and the policy need {tuple(need.shape)}"
            )
        elif told.dtype != need.dtype:
            problems.append(f"{name} is of {told.dtype}, the policy needs {need.dtype}")
    if problems:
        raise AgentFileError(
            f"{path}: {problems[0]}"
            + (f" (and {len(problems) - 1} more)" if problems[1:] else "")
            + ": another environment, policy or policy_kwargs; pass algorithm=, policy= or"
            " policy_kwargs= as it was trained with"
        )
