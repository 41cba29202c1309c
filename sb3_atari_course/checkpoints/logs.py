"""The log files beside a training: how far each had come, cut back to there, gone on with.

What was written after a checkpoint is played again when the training resumes, so it is cut off
first: the curves then have neither a gap nor a row twice.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Collection, Iterator
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

from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.callbacks import CsvLog, EpisodeTable, LogTable
from sb3_atari_course.checkpoints.callback_states import all_within, evaluation_envs
from sb3_atari_course.checkpoints.files import flush, write_aside
from sb3_atari_course.envs.state.vec_env_state import monitor_files

#: How the names of TensorBoard's files begin.
_EVENTS = "events.out.tfevents"


def read_logs(model: BaseAlgorithm, callback: BaseCallback, run: Path) -> Tree:
    """Return how far the files have come; paths inside the run folder as seen from there.

    :param callback: the outermost one.
    :param run: the run folder.
    """
    formats = model.logger.output_formats
    own = [one._format for one in all_within(callback) if isinstance(one, CsvLog)]
    writers = [_read_writer(one, run) for one in formats if one not in own]
    tables = [one for one in formats if isinstance(one, CSVOutputFormat)]
    envs = [model.env, *evaluation_envs(callback)]
    files = {*_grown(formats, callback), *_monitor_files(envs, run)}
    folders = list(_event_folders(formats))
    events = [path for folder in folders for path in _events(folder)]
    for path in (*files, *events, *(Path(one.file.name) for one in tables)):
        flush(path)  # else a power failure could leave less of it than the checkpoint says
    return {
        "home": str(run),
        "folder": _relative(_chosen_folder(model), run),
        "writers": [one for one in writers if one is not None],
        "sizes": {_relative(path, run): os.path.getsize(path) for path in sorted(files)},
        "tables": {
            _relative(one.file.name, run): {"keys": list(one.keys), "rows": _count_rows(one)}
            for one in tables
        },
        "events": {
            _relative(folder, run): {path.name: path.stat().st_size for path in _events(folder)}
            for folder in folders
        },
    }


def cut_logs(state: Tree, run: Path, *, opened: Collection[str] = ()) -> list[str]:
    """Cut the files back to what they held; return what is wrong with some, which are left alone.

    A file that is shorter than it was has been begun anew by somebody, or is missing; what it held
    is gone. Files outside of a run folder that is a copy belong to the original.

    :param opened: paths of TensorBoard's files that this run has opened later: they go.
    """
    problems = []
    mine = _of_this_run(state, run)
    sizes = {run / name: size for name, size in mine["sizes"].items()}
    for name, events in mine["events"].items():
        sizes.update({run / name / event: size for event, size in events.items()})
    for path, size in sizes.items():
        here = path.stat().st_size if path.is_file() else 0
        if here >= size:
            os.truncate(path, size)
        else:
            problems.append(f"{path} has {here} bytes, it had {size} at the checkpoint")
            if not here and path.name.endswith(Monitor.EXT):
                path.write_text('#{"t_start": 0.0, "env_id": "None"}\nr,l,t\n')  # to go on with
    for name, table in mine["tables"].items():
        here = len(_rows(run / name))
        if here >= table["rows"]:
            _cut_table(run / name, table["keys"], table["rows"])
        else:
            problems.append(f"{run / name} has {here} rows, it had {table['rows']}")
    for name, events in mine["events"].items():
        for path in _events(run / name):
            if path.name not in events and str(path) in opened:
                path.unlink()
    return problems


def _of_this_run(state: Tree, run: Path) -> Tree:
    """Return the state without the files that belong to another run, of which this is a copy."""
    home = Path(state["home"])
    if home == run or not home.is_dir():
        return state
    parts = {
        part: {name: value for name, value in state[part].items() if not os.path.isabs(name)}
        for part in ("sizes", "tables", "events")
    }
    writers = [
        (kind, None if kind == "stdout" else _place_in_copy(kind, name))
        for kind, name in state["writers"]
    ]
    return {**state, **parts, "writers": writers}


def _place_in_copy(kind: str, name: str) -> str:
    """Return where a copy of a run writes what the original writes outside of its folder."""
    if not os.path.isabs(name):
        return name
    return kind if kind == "tensorboard" else os.path.basename(name)


def reopen_logger(state: Tree, run: Path) -> Logger:
    """Return a logger that goes on with these files (a file of TensorBoard beside the others)."""
    writers = [_reopen(kind, name, run) for kind, name in _of_this_run(state, run)["writers"]]
    folder = state["folder"]
    return Logger(None if folder is None else str(run / folder), writers)


def _chosen_folder(model: BaseAlgorithm) -> str | None:
    """Return the folder of SB3's log, None for the temporary one that nobody asked for."""
    is_chosen = model._custom_logger or model.tensorboard_log is not None
    return model.logger.dir if is_chosen else None


def _read_writer(writer: KVWriter, run: Path) -> tuple[str, str | None] | None:
    """Return what is needed to open a writer again; None for one that nobody here knows."""
    if isinstance(writer, HumanOutputFormat):
        return ("log", _relative(writer.file.name, run)) if writer.own_file else ("stdout", None)
    if isinstance(writer, JSONOutputFormat):
        return "json", _relative(writer.file.name, run)
    if isinstance(writer, CSVOutputFormat):
        return "csv", _relative(writer.file.name, run)
    if isinstance(writer, TensorBoardOutputFormat):
        return "tensorboard", _relative(writer.writer.log_dir, run)
    return None


def _reopen(kind: str, name: str | None, run: Path) -> KVWriter:
    if kind == "stdout":
        return HumanOutputFormat(sys.stdout)
    path = str(run / str(name))
    if kind == "tensorboard":
        return TensorBoardOutputFormat(path)
    if kind == "csv":
        return LogTable(path, append=True)
    writer: Any = (HumanOutputFormat if kind == "log" else JSONOutputFormat)(os.devnull)
    writer.file.close()
    writer.file = open(path, "a")  # noqa: SIM115  # SB3's own would empty it
    return writer  # type: ignore[no-any-return]


def _grown(formats: list[KVWriter], callback: BaseCallback) -> Iterator[Path]:
    """Yield the files to which lines are only added."""
    for one in formats:
        if isinstance(one, JSONOutputFormat) or (
            isinstance(one, HumanOutputFormat) and one.own_file
        ):
            yield Path(one.file.name)
    for table in all_within(callback):
        if isinstance(table, EpisodeTable) and table.path is not None and table.path.is_file():
            yield table.path


def _monitor_files(envs: list[Any], run: Path) -> Iterator[Path]:
    """Yield the files in which Monitor counts games, in the run folder or elsewhere."""
    yield from (path.resolve() for path in run.glob(f"*{Monitor.EXT}"))
    for env in envs:
        yield from (Path(path).resolve() for path in monitor_files(env) if path is not None)


def _event_folders(formats: list[KVWriter]) -> Iterator[Path]:
    for one in formats:
        if isinstance(one, TensorBoardOutputFormat):
            one.writer.flush()
            yield Path(one.writer.log_dir)


def _events(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_EVENTS}*"))


def _count_rows(writer: CSVOutputFormat) -> int:
    """Return how many rows follow the header."""
    with open(writer.file.name, newline="") as file:
        n_lines = sum(1 for _ in csv.reader(file))  # a word may have line ends in it
    return max(n_lines - 1, 0)


def _rows(path: Path) -> list[list[str]]:
    """Return what follows the header of a table."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return list(csv.reader(file))[1:]


def _cut_table(path: Path, keys: list[str], n_rows: int) -> None:
    """Cut a table of SB3 back, which gets its columns as they come: the new ones go, too."""
    rows = [keys, *(row[: len(keys)] for row in _rows(path)[:n_rows])] if keys else []

    def write(file: BinaryIO) -> None:
        text = TextIOWrapper(file, newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        text.detach()  # which leaves the file open

    write_aside(path, write)


def _relative(path: Any, run: Path) -> str | None:
    """Return a path inside the run folder as seen from there: the folder may be moved."""
    if path is None:
        return None
    place = Path(path).resolve()
    return os.path.relpath(place, run) if place.is_relative_to(run) else str(place)
