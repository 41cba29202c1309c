"""The folder of a training's checkpoints: what is in it, which of them are valid, who uses it.

``RUN/checkpoints/`` holds::

    run.json               how the training was begun: to build it again
    step-000050000.json    a checkpoint: its files with their checksums, written last
    step-000050000.npz     weights, optimiser, counters, random streams, environments, callbacks
    memory-000050000.npz   transitions of the replay memory, those since the checkpoint before
    log.jsonl              when what was written
    lock                   held by the process that trains
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.checkpoints.files import FileFacts, read_archive, write_archive
from sb3_atari_course.checkpoints.manifest import (
    Checkpoint,
    Segment,
    read_manifest,
    write_manifest,
)

#: Of the folder in a run folder, and of the file in it that says how the training was begun.
FOLDER, RUN_FILE = "checkpoints", "run.json"

#: So many checkpoints are kept: if the newest is damaged there is another.
KEPT = 2


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
        return any(self.path.glob("step-*.json"))

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
        """Tell whether some process, this one included, trains here now."""
        if self.is_locked or not self.path.is_dir():
            return self.is_locked
        try:
            self._lock.acquire()
        except (Timeout, OSError):
            return True
        self._lock.release()
        return False

    def write(self, checkpoint: Checkpoint) -> None:
        """Let what was written for a checkpoint count, and delete what is needed no more."""
        write_manifest(self.path, checkpoint)
        self._prune(checkpoint)

    def clear(self) -> None:
        """Delete what belongs to no checkpoint: a writing that failed leaves it, or a kill."""
        try:
            kept = {name for path in self._manifests() for name in read_manifest(path).names}
        except CheckpointError:  # nobody knows what belongs to that one
            return
        self._delete_all_but(kept)

    def write_state(self, step: int, tree: Tree) -> FileFacts:
        """Write all but the replay memory; it counts from :meth:`write` on."""
        return write_archive(self.path / f"step-{step:09}.npz", tree)

    def write_segment(self, step: int, first: int, end: int, tree: Tree) -> Segment:
        """Write rows of the replay memory; they count from :meth:`write` on."""
        name = f"memory-{step:09}.npz"  # rows may be counted anew, steps are not
        return Segment(name, first, end, *write_archive(self.path / name, tree))

    def read_state(self, checkpoint: Checkpoint) -> Tree:
        """Return what :meth:`write_state` was given."""
        return read_archive(self.path / checkpoint.state_name, checkpoint.state)

    def read_segment(self, segment: Segment) -> Tree:
        """Return what :meth:`write_segment` was given."""
        return read_archive(self.path / segment.name, FileFacts(segment.sha256, segment.n_bytes))

    def newest(self) -> Checkpoint:
        """Return the newest checkpoint that is whole, with warnings of newer ones that are not.

        :raises CheckpointError: if there is none.
        """
        problems: list[str] = []
        for path in self._manifests():
            try:
                checkpoint = self._checked(path)
            except CheckpointError as error:
                problems.append(str(error))
            else:
                return Checkpoint(**{**vars(checkpoint), "warnings": tuple(problems)})
        if problems:
            raise CheckpointError(
                f"no checkpoint in {self.path} is whole: {'; '.join(dict.fromkeys(problems))}."
                " The model that was saved last can begin another one: rl_zoo3.train -i MODEL.zip"
            )
        raise CheckpointError(f"{self.path.parent} has no checkpoint: nothing to resume")

    def glance(self) -> Checkpoint | None:
        """Return the newest checkpoint by what it says itself; nothing else is read."""
        for path in self._manifests():
            with contextlib.suppress(CheckpointError):
                return read_manifest(path)
        return None

    def was_ended(self) -> bool:
        """Tell whether the last thing that happened was an end by another callback."""
        events = self.events()
        return bool(events) and events[-1]["event"] == "ended"

    def noted_files(self) -> set[str]:
        """Return the files that were noted as opened by a process that had resumed the run."""
        return {name for event in self.events() for name in event.get("files", [])}

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
            is_torn = file.read(1) not in (b"", b"\n")  # by a full disk, say
            file.write((b"\n" if is_torn else b"") + line.encode())

    def _checked(self, manifest: Path) -> Checkpoint:
        """Return a checkpoint of which all files are there and unaltered."""
        checkpoint = read_manifest(manifest)
        self.read_state(checkpoint)
        for segment in checkpoint.segments:
            self.read_segment(segment)
        return checkpoint

    def _manifests(self) -> Iterator[Path]:
        """Yield the JSON files of all checkpoints, the newest first."""
        paths = self.path.glob("step-*.json")
        yield from sorted(paths, key=lambda path: (len(path.name), path.name), reverse=True)

    def _prune(self, newest: Checkpoint) -> None:
        """Delete all files but those of the last checkpoints, this one included."""
        kept, n_kept = set(newest.names), 1
        for path in self._manifests():
            with contextlib.suppress(CheckpointError):
                older = read_manifest(path)
                if older.step < newest.step and n_kept < KEPT:
                    kept |= older.names
                    n_kept += 1
        self._delete_all_but(kept)

    def _delete_all_but(self, kept: set[str]) -> None:
        """Delete checkpoints and parts of them, files that were still being written too."""
        for pattern in ("step-*", "memory-*"):
            for path in self.path.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def how_to_resume(run: Path) -> str:
    """Return the command that goes on with a run."""
    return f"python -m sb3_atari_course resume {shlex.quote(str(run))}"
