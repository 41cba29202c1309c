"""Which weights does ``policy.pth`` hold? Planned and checked first, then read by torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch as th

from sb3_atari_course.agents.errors import AgentFileError, refuse
from sb3_atari_course.agents.stored_zip import read_members
from sb3_atari_course.agents.tensor_pickle import NotTensorsError, PlannedTensor, plan_tensors

#: What torch.save writes beside the pickle and the numbers, and the most bytes of it.
_SMALL_RECORDS = {
    ".data/serialization_id": 64,
    ".format_version": 8,
    ".storage_alignment": 8,
    "byteorder": 8,
    "version": 8,
}


class Weights:
    """The tensors of a file: known by name and shape at once, read when asked for.

    :param data: ``policy.pth``.
    :param path: for messages.
    :param max_bytes: of all tensors together, counted one by one even if they share numbers.
    :raises AgentFileError: if it is anything but a state dict that :func:`torch.save` wrote.
    """

    def __init__(self, data: bytes, path: Path | str, *, max_bytes: int) -> None:
        self._data, self._path = data, path
        records = self._records()
        try:
            self.plan: Mapping[str, PlannedTensor] = plan_tensors(bytes(records.pop("data.pkl")))
        except NotTensorsError as error:
            raise refuse(path, f"its data.pkl is no plain state dict, {error}") from None
        n_bytes = sum(tensor.n_bytes for tensor in self.plan.values())
        if n_bytes > max_bytes:
            raise refuse(path, f"its tensors have {n_bytes} bytes, more than max_bytes={max_bytes}")
        self._check_storages(records)

    def read(self) -> dict[str, th.Tensor]:
        """Return the tensors, on the CPU.

        :raises AgentFileError: if torch reads something else than was planned, or what is no
            number.
        """
        try:
            loaded = th.load(io.BytesIO(self._data), map_location="cpu", weights_only=True)
            found = {name: (tuple(one.shape), one.dtype) for name, one in loaded.items()}
        except MemoryError:
            raise
        except Exception as error:  # torch has no error of its own for damaged files
            raise refuse(self._path, f"torch cannot read it ({error})") from None
        if found != {name: (one.shape, one.dtype) for name, one in self.plan.items()}:
            raise refuse(self._path, "torch finds other tensors in it than it describes")
        for name, tensor in loaded.items():
            if tensor.is_floating_point() and not th.isfinite(tensor).all():
                raise refuse(
                    self._path,
                    f"{name} is infinite or not a number in places",
                    "the training had diverged, or the file is damaged; take an earlier one",
                )
        return dict(loaded)

    def _records(self) -> dict[str, memoryview]:
        if self._data[:2] != b"PK":
            raise refuse(
                self._path,
                "it is no zip, which torch writes since version 1.6",
                "open it where you trust it with SB3's own load, and save it again",
            )
        members = read_members(memoryview(self._data), self._path)
        folders = {name.partition("/")[0] for name in members}
        if len(folders) != 1 or "" in (name.partition("/")[2] for name in members):
            raise refuse(self._path, "its records do not lie in one folder")
        records = {name.partition("/")[2]: content for name, content in members.items()}
        if "data.pkl" not in records:
            raise refuse(self._path, "data.pkl is missing in it")
        for name, most in _SMALL_RECORDS.items():
            if len(records.get(name, b"")) > most:
                raise refuse(self._path, f"its record {name!r} has {len(records[name])} bytes")
        return records

    def _check_storages(self, records: dict[str, memoryview]) -> None:
        """Compare the size of each record with what the tensors need."""
        wanted: dict[str, Any] = {}
        for name, tensor in self.plan.items():
            storage = tensor.storage
            if wanted.setdefault(f"data/{storage.key}", storage) != storage:
                raise refuse(self._path, f"{name} reads numbers of another type")
        found = {name for name in records if name not in _SMALL_RECORDS}
        if found != set(wanted):
            odd = sorted(found ^ set(wanted))[:3]
            raise refuse(self._path, f"its records are not those of its tensors, see {odd}")
        for record, storage in wanted.items():
            n_bytes = storage.size * storage.dtype.itemsize
            if len(records[record]) != n_bytes:
                raise refuse(
                    self._path,
                    f"its record {record} has {len(records[record])} bytes, not the {n_bytes} that"
                    " its tensors need",
                )


def compare(
    plan: Mapping[str, PlannedTensor], wanted: Mapping[str, th.Tensor], path: Path | str
) -> None:
    """Raise an error unless a file holds what a policy needs.

    :param plan: the tensors of the file.
    :param wanted: the policy's state dict; its tensors may be without memory.
    :param path: for messages.
    :raises AgentFileError: naming the first tensor that differs.
    """
    problems = [f"{name} is missing" for name in wanted if name not in plan]
    problems += [f"{name} is one too many" for name in plan if name not in wanted]
    for name in wanted:
        if name not in plan or problems:
            continue
        told, need = plan[name], wanted[name]
        if told.shape != tuple(need.shape):
            problems.append(
                f"{name} is {told.shape}, the env and the policy need {tuple(need.shape)}"
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
