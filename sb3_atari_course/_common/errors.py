"""Errors of our own that a caller may want to tell from others, and where an error arose."""

from __future__ import annotations

import dis


class TrainingFailedError(RuntimeError):
    """A training that had begun failed: a bug or a full disk, not a wrong argument."""


class SettingError(ValueError):
    """A setting proved wrong when a training began: found there, because not before."""


class ReplayMemoryError(MemoryError):
    """A replay memory will not fit into what the machine has."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: damaged, missing, in use, or of another training."""


class ReplayFileError(ValueError):
    """A saved replay buffer that cannot be used: damaged, or of other settings."""


class SavedFileError(CheckpointError, ReplayFileError):
    """A file of a checkpoint or of a replay buffer that cannot be used."""


def raised_at(error: BaseException) -> tuple[str, bool]:
    """Return the top-level package whose code raised an error, and whether it did so on purpose.

    On purpose is a ``raise`` or ``assert`` statement, a refusal of what was given; what Python or
    NumPy raise during another statement was not foreseen.
    """
    last = error.__traceback__
    assert last is not None, "the error was not raised"
    while last.tb_next is not None:
        last = last.tb_next
    frame = last.tb_frame
    module: str = frame.f_globals.get("__name__", "")
    is_raise = frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return module.partition(".")[0], is_raise
