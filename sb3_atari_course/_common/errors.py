"""Exception classes of the package, and the origin of an exception."""

from __future__ import annotations

import dis


class TrainingFailedError(RuntimeError):
    """Training failed after it had started: a bug or a full disk, not a wrong argument."""


class SettingError(ValueError):
    """Invalid argument, hyperparameter or device."""


class ReplayMemoryError(MemoryError):
    """Replay buffer that does not fit into RAM or GPU memory."""


class CheckpointError(ValueError):
    """Checkpoint that cannot be used: damaged, missing, in use, or of another run."""


class ReplayFileError(ValueError):
    """Saved replay buffer that cannot be used: damaged, or saved with other settings."""


class SavedFileError(CheckpointError, ReplayFileError):
    """File of a checkpoint or of a replay buffer that cannot be used."""


def raised_at(error: BaseException) -> tuple[str, bool]:
    """Return the top-level package that raised an error, and whether it was raised on purpose.

    Errors from a ``raise`` or ``assert`` statement are raised on purpose; errors that Python or
    NumPy raise within another statement are unexpected.
    """
    last = error.__traceback__
    assert last is not None, "the error was not raised"
    while last.tb_next is not None:
        last = last.tb_next
    frame = last.tb_frame
    module: str = frame.f_globals.get("__name__", "")
    is_raise = frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return module.partition(".")[0], is_raise
