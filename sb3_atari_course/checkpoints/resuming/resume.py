"""Go on with a training from its newest whole checkpoint, in the same run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.validation import boolean, integer_at_least
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.callback_states import all_within
from sb3_atari_course.checkpoints.files import read_json
from sb3_atari_course.checkpoints.folder import FOLDER, RUN_FILE, CheckpointFolder
from sb3_atari_course.checkpoints.resuming.origin import build_model
from sb3_atari_course.checkpoints.resuming.resumption import Resumption
from sb3_atari_course.checkpoints.resuming.settings import from_json
from sb3_atari_course.checkpoints.running import let_go_of_dead_trainings
from sb3_atari_course.checkpoints.versions import version_changes
from sb3_atari_course.envs import make_atari_env
from sb3_atari_course.zoo.resume_experiment import resume_experiment


def resume(
    path: str | os.PathLike[str],
    env: GymEnv | None = None,
    *,
    model: BaseAlgorithm | None = None,
    callback: BaseCallback | Sequence[BaseCallback] | None = None,
    n_timesteps: int | None = None,
    device: str | None = None,
    num_threads: int | None = None,
    progress: bool = False,
    storage: str | None = None,
) -> BaseAlgorithm:
    """Go on with a training as if it had never stopped, and return its model at the end.

    A training of RL Zoo, of our launcher, or with an env of ``make_atari_env`` is built again from
    what was written down; any other needs its ``env``, made in the same way. What was logged after
    the checkpoint is cut off first, and comes again. Schedules stay those of the first
    ``n_timesteps``; in a longer training they stay at their end.

    What the run's settings name is imported: trust a run folder as you trust a script.

    :param path: the run folder, in which ``checkpoints`` lies.
    :param env: as for the model's constructor; with Monitor files, made with
        ``monitor_kwargs={"override_existing": False}``.
    :param model: instead of ``env``: built with the same settings, for those that cannot be
        written down, a function as a schedule, say.
    :param callback: the callbacks that the training had, in the same order; ``ExactCheckpoint``
        may be left out. (RL Zoo's and our launcher's are built again.)
    :param n_timesteps: agent steps after which the training is finished; None: as it was begun.
    :param device: of the new model; None: as the training was begun by RL Zoo or our launcher,
        ``"auto"`` for others. Not with ``model``, which is on its device already.
    :param num_threads: of PyTorch; None: as the training was begun. Another number may change the
        last digits of a sum, and so the training.
    :param progress: show a progress bar, whether or not the training had one.
    :param storage: address of the Optuna database from which RL Zoo took the hyperparameters
        (``--trial-id``), for a run whose yml cannot be written down: a run folder keeps no
        password. None: as the training was begun.
    :raises CheckpointError: if there is no whole checkpoint, if another process trains there, if
        the training is finished already, if what is passed does not fit.
    :raises TypeError: for a ``progress`` that is not a bool.
    :raises ValueError: for ``env`` and ``model`` together, a number out of range.
    """
    changes = _checked_changes(device, num_threads, progress, storage)
    folder = CheckpointFolder(Path(path) / FOLDER)
    if not folder.path.is_dir():
        raise CheckpointError(_what_is_missing(Path(path)))
    let_go_of_dead_trainings()
    try:
        folder.lock()
    except OSError as error:
        raise CheckpointError(f"{folder.path} cannot be written to: {error}") from error
    try:
        resumption = _find(folder, n_timesteps)
        description = _with_changes(read_json(folder.path / RUN_FILE), changes)
        if description["kind"] == "rl_zoo":
            if not (env is None and model is None and callback is None):
                raise CheckpointError(
                    f"{path} is a run of RL Zoo, which is built again from its settings: leave env,"
                    " model and callback out"
                )
            return resume_experiment(description, resumption)
        if not (env is None or model is None):
            raise ValueError("pass env or model, not both: the model has its own env")
        callbacks = _callbacks(callback, description["every"], description.get("place"))
        if model is not None:
            return _go_on(resumption, model, callbacks, description)
        made = _env_of(description, folder.path.parent) if env is None else env
        try:
            return _go_on(
                resumption, build_model(description, made, device or "auto"), callbacks, description
            )
        except BaseException:
            if env is None:
                made.close()  # nobody else has it
            raise
    finally:
        folder.unlock()


def _checked_changes(
    device: str | None, num_threads: int | None, progress: bool, storage: str | None
) -> dict[str, Any]:
    """Return what shall differ from the training's beginning, in the names of RL Zoo."""
    if num_threads is not None:
        integer_at_least(1, "num_threads", num_threads)
    changes = {"device": device, "num_threads": num_threads, "storage": storage}
    changes["progress"] = boolean("progress", progress) or None
    return {name: value for name, value in changes.items() if value is not None}


def _with_changes(description: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return how a training was begun, with these changes."""
    changed = dict(description)
    if "num_threads" in changes:
        changed["threads"] = changes["num_threads"]
    if description["kind"] == "rl_zoo":
        changed["arguments"] = {**description.get("arguments", {}), **changes}
    else:
        changed["learn"] = {**description["learn"], "progress_bar": "progress" in changes}
    return changed


def _what_is_missing(path: Path) -> str:
    """Return why there is nothing to resume."""
    if not path.exists():
        return f"{path} does not exist: nothing to resume there"
    if not path.is_dir():
        return f"{path} is a file: resume takes the run folder, which has {FOLDER}/ in it"
    if path.resolve().name == FOLDER:
        return f"{path} is the folder of the checkpoints: resume takes its parent, the run folder"
    return (
        f"{path} has no folder {FOLDER}: nothing to resume there. A model without checkpoints can"
        " begin a new training: rl_zoo3.train -i MODEL.zip"
    )


def _go_on(
    resumption: Resumption,
    model: BaseAlgorithm,
    callbacks: list[BaseCallback],
    description: dict[str, Any],
) -> BaseAlgorithm:
    th.set_num_threads(description["threads"])
    resumption.prepare(model, callbacks)
    return model.learn(
        resumption.n_timesteps,
        callback=callbacks,
        reset_num_timesteps=False,
        **description["learn"],
    )


def _find(folder: CheckpointFolder, n_timesteps: int | None) -> Resumption:
    """Return the newest whole checkpoint, and how long the training shall be."""
    if n_timesteps is not None:
        integer_at_least(1, "n_timesteps", n_timesteps)
    checkpoint = folder.newest()
    for warning in checkpoint.warnings:
        print(f"{warning}; the checkpoint before it is taken", flush=True)
    changes = version_changes(checkpoint.versions)
    if changes:
        print(
            f"It may not go on to the bit: since the checkpoint, {', '.join(changes)}", flush=True
        )
    n_timesteps = n_timesteps or checkpoint.n_timesteps
    if n_timesteps <= checkpoint.step:
        raise CheckpointError(
            f"{folder.path.parent} is at step {checkpoint.step:,} already, {n_timesteps:,} are"
            " asked for: to train longer ask for more, with -n N or resume(path, n_timesteps=N)"
        )
    return Resumption(folder, checkpoint, folder.read_state(checkpoint), n_timesteps)


def _env_of(description: dict[str, Any], run: Path) -> VecEnv:
    """Return environments as ``make_atari_env`` made them, whose Monitor files go on."""
    if description["made_by"] is None:
        raise CheckpointError(
            f"{run} does not know how its environment was made, which make_atari_env would have"
            " noted: from Python, pass one that is made in the same way, resume(path, env)"
        )
    settings = from_json(description["made_by"])
    if settings.get("monitor_dir") is not None:
        settings["monitor_dir"] = str(run / settings["monitor_dir"])
    if settings.get("native"):
        settings["monitor_append"] = True
    else:
        monitor = {**(settings.pop("monitor_kwargs", None) or {}), "override_existing": False}
        settings["monitor_kwargs"] = monitor
    return make_atari_env(**settings)


def _callbacks(
    callback: BaseCallback | Sequence[BaseCallback] | None, every: int, place: int | None
) -> list[BaseCallback]:
    """Return the callbacks as a list, our own among them."""
    given = [callback] if isinstance(callback, BaseCallback) else list(callback or [])
    if not any(isinstance(one, ExactCheckpoint) for one in all_within(given)):
        given.insert(len(given) if place is None else place, ExactCheckpoint(every))
    return given
