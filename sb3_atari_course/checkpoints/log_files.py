"""Log files of a run: their sizes at a checkpoint, truncation and reopening on resume.

Steps after the checkpoint are repeated when training resumes, so what they logged is truncated
first. The curves then have neither gaps nor duplicate rows.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import (
    CSVOutputFormat,
    HumanOutputFormat,
    JSONOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.atomic_files import flush, write_atomically
from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.callbacks import CsvLog, EpisodeTable, LogTable
from sb3_atari_course.envs.vec_env_state import monitor_files


def read_logs(
    model: BaseAlgorithm, callbacks: Iterable[BaseCallback], envs: Iterable[VecEnv], run: Path
) -> Tree:
    """Return the sizes of the log files, with paths relative to the run folder if inside it.

    :param model: the model, whose logger is read.
    :param callbacks: all callbacks of the run, including nested ones.
    :param envs: the environments of training and of its evaluations.
    :param run: the run folder.
    """
    formats = model.logger.output_formats
    tables = {Path(one.file.name) for one in formats if isinstance(one, CSVOutputFormat)}
    grown = {path.resolve() for path in run.glob(f"*{Monitor.EXT}")}
    grown |= {Path(path).resolve() for env in envs for path in monitor_files(env) if path}
    writers, own = [], []
    for callback in callbacks:
        if isinstance(callback, CsvLog):
            own.append(callback._format)
        elif isinstance(callback, EpisodeTable) and callback.path and callback.path.is_file():
            grown.add(callback.path)
    for one in formats:
        kind, path = _kind_and_path(one)
        if kind in ("log", "json"):
            grown.add(Path(str(path)))
        if kind is not None and one not in own:
            writers.append((kind, _relative(path, run)))
    for file in (*grown, *tables):
        flush(file)  # else it could be shorter than in the checkpoint after a power failure
    # excludes SB3's default, a temporary folder
    is_chosen = model._custom_logger or model.tensorboard_log is not None
    return {
        "folder": _relative(model.logger.dir, run) if is_chosen else None,
        "writers": writers,
        "sizes": {_relative(path, run): os.path.getsize(path) for path in sorted(grown)},
        "tables": {
            _relative(path, run): {"keys": header, "rows": len(rows)}
            for path in tables
            for header, rows in [_table(path)]
        },
    }


def truncate_logs(state: Tree, run: Path) -> list[str]:
    """Truncate the log files to their sizes at the checkpoint.

    :return: messages about files that are missing or shorter than at the checkpoint, which are not
        truncated.
    """
    problems = []
    for name, size in state["sizes"].items():
        path = run / name
        here = path.stat().st_size if path.is_file() else 0
        if here >= size:
            os.truncate(path, size)
        else:
            problems.append(f"{path} has {here} bytes, but had {size} at the checkpoint")
            if not here and path.name.endswith(Monitor.EXT):  # Monitor appends only with a header
                path.write_text('#{"t_start": 0.0, "env_id": "None"}\nr,l,t\n')
    for name, table in state["tables"].items():
        _, rows = _table(run / name)
        if len(rows) >= table["rows"]:
            _truncate_table(run / name, table["keys"], rows[: table["rows"]])
        else:
            problems.append(
                f"{run / name} has {len(rows)} rows, but had {table['rows']} at the checkpoint"
            )
    return problems


def reopen_logger(state: Tree, run: Path, *, first_step: int) -> Logger:
    """Return a logger that continues the log files.

    :param first_step: first step that is logged again; TensorBoard gets a new event file and hides
        the earlier events from this step on (``purge_step``).
    """
    writers = [
        _reopen(kind, None if name is None else str(run / name), first_step)
        for kind, name in state["writers"]
    ]
    return Logger(None if state["folder"] is None else str(run / state["folder"]), writers)


def _kind_and_path(writer: Any) -> tuple[str | None, str | None]:
    """Return SB3's name of an output format and its file or folder; None for an unknown format."""
    if isinstance(writer, HumanOutputFormat):
        return ("log", writer.file.name) if writer.own_file else ("stdout", None)
    if isinstance(writer, JSONOutputFormat):
        return "json", writer.file.name
    if isinstance(writer, CSVOutputFormat):
        return "csv", writer.file.name
    if isinstance(writer, TensorBoardOutputFormat):
        return "tensorboard", writer.writer.log_dir
    return None, None


def _reopen(kind: str, path: str | None, first_step: int) -> KVWriter:
    if path is None:
        return HumanOutputFormat(sys.stdout)
    if kind == "tensorboard":
        return _ResumedEvents(path, first_step)
    if kind == "csv":
        return LogTable(path, append=True)
    writer: Any = (HumanOutputFormat if kind == "log" else JSONOutputFormat)(os.devnull)
    writer.file.close()
    writer.file = open(path, "a")  # noqa: SIM115  # SB3's constructor truncates the file
    return writer  # type: ignore[no-any-return]


class _ResumedEvents(TensorBoardOutputFormat):
    def __init__(self, folder: str, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # not every installation has TensorBoard

        self.writer = SummaryWriter(log_dir=folder, purge_step=first_step)
        self._is_closed = False


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of a CSV file."""
    if not path.is_file():
        return [], []
    with open(path, newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]  # strings may contain line ends
    return header, rows


def _truncate_table(path: Path, keys: list[str], rows: list[list[str]]) -> None:
    """Truncate a CSV file to the given rows and columns; SB3 adds columns during training."""
    lines = [keys, *(row[: len(keys)] for row in rows)] if keys else []

    def write(file: BinaryIO) -> None:
        text = TextIOWrapper(file, newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        text.detach()  # leaves the file open

    write_atomically(path, write)


def _relative(path: Any, run: Path) -> str | None:
    """Return a path relative to the run folder if inside it, because the folder may be moved."""
    if path is None:
        return None
    place = Path(path).resolve()
    return os.path.relpath(place, run) if place.is_relative_to(run) else str(place)
