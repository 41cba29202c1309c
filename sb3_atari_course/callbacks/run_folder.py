"""Where the files of a training go, as far as a callback can know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback, EvalCallback

from sb3_atari_course.callbacks.csv_log import CsvLog


def find_run_folder(callback: BaseCallback) -> Path | None:
    """Return the folder of the training, None if nobody has named one.

    RL Zoo tells its callbacks nothing of its run folder, but the evaluation (and our log) beside
    them write into it; a folder of SB3's logger counts if it was chosen, not the temporary one.

    :param callback: in a training that has begun.
    """
    for other in _all_within(callback.locals.get("callback")):
        if isinstance(other, CsvLog):
            return other.path.parent
        if isinstance(other, EvalCallback) and other.best_model_save_path is not None:
            return Path(other.best_model_save_path)
    model = callback.model
    if (model._custom_logger or model.tensorboard_log is not None) and callback.logger.dir:
        return Path(callback.logger.dir)
    return None


def _all_within(callback: BaseCallback | None) -> Iterator[BaseCallback]:
    """Yield a callback and those in it, if it is a list."""
    if callback is not None:
        yield callback
    for inner in getattr(callback, "callbacks", []):
        yield from _all_within(inner)
