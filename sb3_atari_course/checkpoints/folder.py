"""Checkpoint folder of a run: files, validation, locking.

``RUN/checkpoints/`` contains::

    step-000050000.npz     weights, optimizer, counters, random generators, environments, callbacks;
                           written last, its header names the other files with their checksums
    memory-000050000.npz   transitions of the replay buffer since the previous checkpoint
    log.jsonl              events with their time
    lock                   locked by the process that trains
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sb3_atari_course import __version__
from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree, read_archive, read_header, write_archive

#: Name of the folder inside a run folder.
FOLDER = "checkpoints"

#: Number of checkpoints kept, in case the newest is damaged.
KEPT = 2

#: Packages whose version may change the results of a run.
_PACKAGES = (
    "stable-baselines3",
    "sb3-contrib",
    "rl-zoo3",
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Segment:
    """Segment of the replay buffer, stored in a separate file.

    :param name: file name.
    :param first: number of rows written to the buffer before the segment.
    :param end: number of rows written to the buffer up to its end.
    :param sha256: checksum of the file's JSON header.
    """

    name: str
    first: int
    end: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """Header of a checkpoint.

    :param step: agent steps of the run so far, of all environments together.
    :param n_timesteps: total agent steps of the run.
    :param finished: whether training had reached the number of steps asked for.
    :param facts: properties that a model must share to be resumed from it.
    :param n_rows: number of rows written to the replay buffer so far.
    :param segments: segments that contain the current rows of the replay buffer.
    :param versions: package -> version that wrote the checkpoint.
    :param begun: settings of the run: steps between two checkpoints, number of PyTorch
        threads, and the class of RL Zoo's experiment or the arguments of ``learn()``.
    :param warnings: messages about newer checkpoints that are damaged.
    """

    step: int
    n_timesteps: int
    finished: bool
    facts: dict[str, Any]
    n_rows: int = 0
    segments: tuple[Segment, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    begun: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """Name of the main file, which contains everything except the replay buffer."""
        return f"step-{self.step:09}.npz"

    @property
    def names(self) -> set[str]:
        """Names of all files of the checkpoint."""
        return {self.name, *(one.name for one in self.segments)}


class CheckpointFolder:
    """Checkpoints of one run.

    :param path: ``RUN/checkpoints``; created by :meth:`lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "lock", timeout=0, thread_local=False)

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is a checkpoint, valid or not."""
        return any(self.path.glob("step-*.npz"))

    @property
    def has_ended(self) -> bool:
        """Whether training has reached its last step, or another callback has ended it."""
        newest, events = self.peek(), self.events()
        was_ended = bool(events) and events[-1]["event"] == "ended"
        return was_ended or (newest is not None and newest.finished)

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock.is_locked

    def lock(self) -> None:
        """Lock the folder for this object; the kernel unlocks it when the process dies.

        :raises CheckpointError: if another run holds the lock, in this process or another.
        :raises OSError: if the folder is not writable.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise CheckpointError(
                f"another training runs in {self.path.parent}: wait until it ends, or stop it"
            ) from None

    def unlock(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def is_used(self) -> bool:
        """Return whether a process, including this one, trains in the folder."""
        if self.is_locked or not self.path.is_dir():
            return self.is_locked
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return True
        self._lock.release()
        return False

    def write_segment(self, step: int, first: int, end: int, rows: Tree) -> Segment:
        """Write rows of the replay buffer; they become valid with :meth:`write`."""
        name = f"memory-{step:09}.npz"  # unlike the row count, the step count never restarts
        return Segment(name, first, end, write_archive(self.path / name, rows))

    def write(self, checkpoint: Checkpoint, state: Tree) -> None:
        """Write the main file of a checkpoint, which makes it valid, and delete old files.

        :param checkpoint: the header.
        :param state: the state without the replay buffer.
        """
        write_archive(self.path / checkpoint.name, state, asdict(checkpoint))
        kept, n_kept = set(checkpoint.names), 1
        for older in self._readable():
            if older.step < checkpoint.step and n_kept < KEPT:
                kept |= older.names
                n_kept += 1
        self._delete_all_but(kept)

    def clear(self) -> None:
        """Delete files that belong to no checkpoint, left by a failed write or a kill."""
        try:
            kept = {name for path in self._paths() for name in _read_header(path).names}
        except CheckpointError:  # the segments of that checkpoint are unknown
            return
        self._delete_all_but(kept)

    def read_segment(self, segment: Segment) -> Tree:
        """Return the rows of a segment."""
        return read_archive(self.path / segment.name, segment.sha256)

    def read_state(self, checkpoint: Checkpoint) -> Tree:
        """Return the state of a checkpoint."""
        return read_archive(self.path / checkpoint.name)

    def newest(self) -> Checkpoint:
        """Return the newest valid checkpoint, with warnings about newer damaged ones.

        :raises CheckpointError: if there is none.
        """
        problems: list[str] = []
        for path in self._paths():
            try:
                checkpoint = _read_header(path)
                self.read_state(checkpoint)
                for segment in checkpoint.segments:
                    self.read_segment(segment)
            except CheckpointError as error:
                problems.append(str(error))
            else:
                return replace(checkpoint, warnings=tuple(problems))
        if problems:
            raise CheckpointError(
                f"no checkpoint in {self.path} is valid: {'; '.join(dict.fromkeys(problems))}. To"
                " start a new run from the last saved model use rl_zoo3.train -i MODEL.zip"
            )
        raise CheckpointError(
            f"{self.path.parent} has no checkpoint, so there is nothing to resume"
        )

    def peek(self) -> Checkpoint | None:
        """Return the header of the newest checkpoint without validating its contents."""
        return next(self._readable(), None)

    def events(self) -> list[dict[str, Any]]:
        """Return the readable lines of the event log."""
        events = []
        path = self.path / "log.jsonl"
        for line in path.read_bytes().splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):
                events.append(dict(json.loads(line)))
        return events

    def log_event(self, event: str, **facts: Any) -> None:
        """Append a line to the event log and close it, so that it survives a kill."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}) + "\n"
        with open(self.path / "log.jsonl", "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            is_partial = file.read(1) not in (b"", b"\n")  # for example, because the disk was full
            file.write((b"\n" if is_partial else b"") + line.encode())

    def _paths(self) -> Iterator[Path]:
        """Yield the main files of all checkpoints, newest first."""
        paths = self.path.glob("step-*.npz")
        yield from sorted(paths, key=lambda path: (len(path.name), path.name), reverse=True)

    def _readable(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints with a readable header, newest first."""
        for path in self._paths():
            with contextlib.suppress(CheckpointError):
                yield _read_header(path)

    def _delete_all_but(self, kept: set[str]) -> None:
        """Delete all other checkpoint files, including unfinished ones."""
        for pattern in ("step-*", "memory-*"):
            for path in self.path.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def _read_header(path: Path) -> Checkpoint:
    """Return the header of a checkpoint from its main file.

    :raises CheckpointError: if it is damaged or has another format.
    """
    content = read_header(path)
    segments = tuple(Segment(**one) for one in content.pop("segments"))
    return Checkpoint(**content, segments=segments)


@cache
def installed_versions() -> dict[str, str]:
    """Return the installed versions of the packages that affect training: package -> version."""
    found = {"python": platform.python_version(), "sb3_atari_course": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # OpenCV has several packages
            found[name] = version(name)
    return found


def how_to_resume(run: Path) -> str:
    """Return the command that resumes a run."""
    return f"python -m sb3_atari_course resume {shlex.quote(str(run))}"


def unfinished_checkpoint(run: Path) -> Checkpoint | None:
    """Return the newest checkpoint of an unfinished run; None if it is finished or has none."""
    folder = CheckpointFolder(run / FOLDER)
    return None if folder.has_ended else folder.peek()


def print_unfinished_runs(runs: Path, name: str) -> None:
    """Print how to resume the unfinished runs of an environment.

    :param runs: RL Zoo's folder with the runs of one algorithm.
    :param name: environment id, as in the names of run folders.
    """
    for run in sorted(runs.glob(f"{name}_*")):
        checkpoint = unfinished_checkpoint(run)
        if checkpoint is not None and not CheckpointFolder(run / FOLDER).is_used():
            print(
                f"{run} is unfinished ({checkpoint.step:,} of {checkpoint.n_timesteps:,} steps)."
                f" To resume it: {how_to_resume(run)}"
            )
