"""The folder of a training's checkpoints: what is in it, which of them are valid, who uses it.

``RUN/checkpoints/`` holds::

    step-000050000.npz     weights, optimiser, counters, random generators, environments, callbacks;
                           written last, its header names the other files with their checksums
    memory-000050000.npz   transitions of the replay buffer, those since the checkpoint before
    log.jsonl              when what was written
    lock                   held by the process that trains
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

#: In a run folder.
FOLDER = "checkpoints"

#: So many checkpoints are kept: if the newest is damaged there is another.
KEPT = 2

#: Packages that play or learn: with other versions of them a training may not resume to the bit.
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
    """A part of the replay buffer in a file of its own.

    :param first: number of rows that were written before its first one.
    :param end: the same for the row after its last one.
    :param sha256: of its JSON.
    """

    name: str
    first: int
    end: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """What the header of a checkpoint says.

    :param step: agent steps of the training so far, of all environments.
    :param n_timesteps: steps after which the training is finished, as it was first planned.
    :param finished: whether it was, or was ended earlier as it had been asked to.
    :param facts: what a training must agree with to be resumed from it.
    :param n_rows: rows written to the replay buffer so far.
    :param segments: those that hold the rows which are still in the replay buffer.
    :param versions: of the packages that wrote it.
    :param begun: how the training was begun: steps between two checkpoints, PyTorch's threads; by
        RL Zoo or our launcher the class of its experiment, else arguments of ``learn``.
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
        """Name of the file that says all this, with all but the replay buffer."""
        return f"step-{self.step:09}.npz"

    @property
    def names(self) -> set[str]:
        """Names of all files that belong to it."""
        return {self.name, *(one.name for one in self.segments)}


class CheckpointFolder:
    """The checkpoints of one training.

    :param path: ``RUN/checkpoints``; made by :meth:`lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "lock", timeout=0, thread_local=False)

    @property
    def has_checkpoints(self) -> bool:
        """Whether a checkpoint lies there, valid or not."""
        return any(self.path.glob("step-*.npz"))

    @property
    def is_locked(self) -> bool:
        """Whether this object has the folder for itself."""
        return self._lock.is_locked

    def lock(self) -> None:
        """Take the folder for this process alone; the kernel gives it back when that dies.

        :raises CheckpointError: if another training has it, in this process or another.
        :raises OSError: if nothing can be written there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise CheckpointError(
                f"another training runs in {self.path.parent}: wait for its end, or stop it"
            ) from None

    def unlock(self) -> None:
        """Let other processes have it."""
        self._lock.release()

    def is_used(self) -> bool:
        """Return whether some process, this one included, trains here now."""
        if self.is_locked or not self.path.is_dir():
            return self.is_locked
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return True
        self._lock.release()
        return False

    def write_segment(self, step: int, first: int, end: int, rows: Tree) -> Segment:
        """Write rows of the replay buffer; they count from :meth:`write` on."""
        name = f"memory-{step:09}.npz"  # the count of rows may start over, that of steps does not
        return Segment(name, first, end, write_archive(self.path / name, rows))

    def write(self, checkpoint: Checkpoint, state: Tree) -> None:
        """Write a checkpoint, which counts from then on, and delete what is needed no more.

        :param state: all but the replay buffer.
        """
        write_archive(self.path / checkpoint.name, state, asdict(checkpoint))
        kept, n_kept = set(checkpoint.names), 1
        for older in self._readable():
            if older.step < checkpoint.step and n_kept < KEPT:
                kept |= older.names
                n_kept += 1
        self._delete_all_but(kept)

    def clear(self) -> None:
        """Delete what belongs to no checkpoint: a write that failed leaves it, or a kill."""
        try:
            kept = {name for path in self._paths() for name in _read_header(path).names}
        except CheckpointError:  # what belongs to that one is unknown
            return
        self._delete_all_but(kept)

    def read_segment(self, segment: Segment) -> Tree:
        """Return the rows that :meth:`write_segment` was given."""
        return read_archive(self.path / segment.name, segment.sha256)

    def read_state(self, checkpoint: Checkpoint) -> Tree:
        """Return the state that :meth:`write` was given."""
        return read_archive(self.path / checkpoint.name)

    def newest(self) -> Checkpoint:
        """Return the newest checkpoint that is whole, with warnings of newer ones that are not.

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
                f"no checkpoint in {self.path} can be used: {'; '.join(dict.fromkeys(problems))}."
                " The model that was saved last can begin another one: rl_zoo3.train -i MODEL.zip"
            )
        raise CheckpointError(f"{self.path.parent} has no checkpoint: nothing to resume")

    def glance(self) -> Checkpoint | None:
        """Return the newest checkpoint by what it says itself; nothing else is read."""
        return next(self._readable(), None)

    def events(self) -> list[dict[str, Any]]:
        """Return the lines of the log that can be read."""
        events = []
        path = self.path / "log.jsonl"
        for line in path.read_bytes().splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):
                events.append(dict(json.loads(line)))
        return events

    def note(self, event: str, **facts: Any) -> None:
        """Add a line to the log; whatever ends the process later, it is there."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}) + "\n"
        with open(self.path / "log.jsonl", "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            is_torn = file.read(1) not in (b"", b"\n")  # by a full disk, for example
            file.write((b"\n" if is_torn else b"") + line.encode())

    def _paths(self) -> Iterator[Path]:
        """Yield the main files of all checkpoints, the newest first."""
        paths = self.path.glob("step-*.npz")
        yield from sorted(paths, key=lambda path: (len(path.name), path.name), reverse=True)

    def _readable(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints whose header can be read, the newest first."""
        for path in self._paths():
            with contextlib.suppress(CheckpointError):
                yield _read_header(path)

    def _delete_all_but(self, kept: set[str]) -> None:
        """Delete checkpoints and parts of them, files that were still being written too."""
        for pattern in ("step-*", "memory-*"):
            for path in self.path.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def _read_header(path: Path) -> Checkpoint:
    """Return the checkpoint whose main file this is.

    :raises CheckpointError: if it is damaged, or of another format.
    """
    content = read_header(path)
    segments = tuple(Segment(**one) for one in content.pop("segments"))
    return Checkpoint(**content, segments=segments)


@cache
def installed_versions() -> dict[str, str]:
    """Return the versions of what trains here: package -> version."""
    found = {"python": platform.python_version(), "sb3_atari_course": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # OpenCV has several packages
            found[name] = version(name)
    return found


def how_to_resume(run: Path) -> str:
    """Return the command that resumes a run."""
    return f"python -m sb3_atari_course resume {shlex.quote(str(run))}"


def unfinished_checkpoint(run: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run that was stopped or still runs, None otherwise."""
    folder = CheckpointFolder(run / FOLDER)
    checkpoint, events = folder.glance(), folder.events()
    was_ended = bool(events) and events[-1]["event"] == "ended"  # by another callback
    return None if checkpoint is None or checkpoint.finished or was_ended else checkpoint


def hint_at_unfinished(runs: Path, name: str) -> None:
    """Print how to resume the unfinished runs beside the one that is about to begin.

    :param runs: where RL Zoo puts the runs of one algorithm.
    :param name: of the environment, as in the names of run folders.
    """
    for run in sorted(runs.glob(f"{name}_*")):
        checkpoint = unfinished_checkpoint(run)
        if checkpoint is not None and not CheckpointFolder(run / FOLDER).is_used():
            print(
                f"{run} is unfinished ({checkpoint.step:,} of {checkpoint.n_timesteps:,} steps)."
                f" To resume it: {how_to_resume(run)}"
            )
