"""What a checkpoint says of itself: a checked JSON, written last."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.files import FileFacts, read_json, write_json

#: Of the files; one of another version is refused.
VERSION = 1


@dataclass(frozen=True)
class Segment:
    """A part of the replay memory in a file of its own.

    :param first: number of rows that were written before its first one.
    :param end: the same for the row after its last one.
    """

    name: str
    first: int
    end: int
    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class Checkpoint:
    """What the JSON of a checkpoint says.

    :param step: agent steps of the training so far, of all environments.
    :param n_timesteps: steps after which the training is finished, as it was first planned.
    :param finished: whether it was, or was ended earlier as it had been asked to.
    :param facts: what a training must agree with to be resumed from it.
    :param n_rows: rows written to the replay memory so far.
    :param segments: those that hold the rows which are still in the memory.
    :param versions: of the packages that wrote it.
    """

    step: int
    n_timesteps: int
    finished: bool
    facts: dict[str, Any]
    state: FileFacts
    n_rows: int = 0
    segments: tuple[Segment, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def state_name(self) -> str:
        """Name of the file with all but the replay memory."""
        return f"step-{self.step:09}.npz"

    @property
    def manifest_name(self) -> str:
        """Name of the file that says all this."""
        return f"step-{self.step:09}.json"

    @property
    def names(self) -> set[str]:
        """Names of all files that belong to it."""
        return {self.manifest_name, self.state_name, *(one.name for one in self.segments)}


def write_manifest(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it; from then on its files count."""
    content = {"version": VERSION, **asdict(checkpoint)}
    del content["warnings"]
    write_json(folder / checkpoint.manifest_name, content)


def read_manifest(path: Path) -> Checkpoint:
    """Return what :func:`write_manifest` was given.

    :raises CheckpointError: if it is damaged, or of another version.
    """
    content = read_json(path)
    version = content.pop("version", None)
    if version != VERSION:
        raise CheckpointError(
            f"{path} has format {version}, and this version of sb3_atari_course reads format"
            f" {VERSION}: go on with the version that wrote it"
        )
    try:
        segments = tuple(Segment(**one) for one in content.pop("segments"))
        state = FileFacts(*content.pop("state"))
        checkpoint = Checkpoint(**content, state=state, segments=segments)
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is no checkpoint: {error}") from error
    if path.name != checkpoint.manifest_name or any(
        os.path.basename(name) != name for name in checkpoint.names
    ):
        raise CheckpointError(f"{path} names files of another place")
    return checkpoint
