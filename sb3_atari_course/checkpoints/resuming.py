"""Resume a training from its newest whole checkpoint, in the same run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.atomic_files import read_json
from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course._common.validation import boolean, integer_at_least
from sb3_atari_course.checkpoints.callback import ExactCheckpoint, let_go_of_dead_training
from sb3_atari_course.checkpoints.folder import (
    FOLDER,
    RUN_FILE,
    Checkpoint,
    CheckpointFolder,
    installed_versions,
)
from sb3_atari_course.checkpoints.log_files import cut_logs, reopen_logger
from sb3_atari_course.checkpoints.run_settings import build_model, from_json, named
from sb3_atari_course.checkpoints.snapshot import (
    all_within,
    check_facts,
    write_callbacks,
    write_parameters,
)
from sb3_atari_course.envs import make_atari_env

#: What builds a run of RL Zoo again: of a layer above this one, so it is found by its name, as are
#: the classes that ``run.json`` names.
_RESUME_EXPERIMENT = "sb3_atari_course.zoo.resume_experiment:resume_experiment"


@dataclass(frozen=True)
class Resumption:
    """A checkpoint from which a training is about to continue.

    :param folder: locked for this process.
    :param tree: all but the replay buffer.
    :param n_timesteps: agent steps after which the training is finished.
    """

    folder: CheckpointFolder
    checkpoint: Checkpoint
    tree: Tree
    n_timesteps: int

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder.path.parent

    def prepare(self, model: BaseAlgorithm, callbacks: Sequence[BaseCallback]) -> None:
        """Prepare callbacks and log; the rest is put in its place at the first rollout.

        What was logged after the checkpoint is cut off, once nothing speaks against resuming.

        :raises CheckpointError: if model or callbacks are others than the training had.
        """
        check_facts(model, self.checkpoint.facts)
        model.num_timesteps = 0  # learn() adds the steps of a model that has trained to its length
        write_parameters(model, self.tree["training"])
        write_callbacks(callbacks, self.tree["callbacks"])
        run, logs = self.run.resolve(), self.tree["logs"]
        opened = {name for event in self.folder.events() for name in event.get("files", [])}
        for problem in cut_logs(logs, run, opened=opened):
            print(f"{problem}: what is missing is lost, the file continues", flush=True)
        logger, files = reopen_logger(logs, run)
        model.set_logger(logger)
        self.folder.note("opened", files=files)
        for one in all_within(callbacks):
            if isinstance(one, ExactCheckpoint):
                one.resume_from(self.folder, self.checkpoint)


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
    """Resume a training as if it had never stopped, and return its model at the end.

    A training of RL Zoo, of our launcher, or with an env of ``make_atari_env`` is built again from
    what was written down; any other needs its ``env``, made in the same way. What was logged after
    the checkpoint is cut off first, and comes again. Schedules stay those of the first
    ``n_timesteps``; in a longer training they stay at their end.

    What the run's settings name is imported: trust a run folder as you trust a script.

    :param path: the run folder, in which ``checkpoints`` lies.
    :param env: as for the model's constructor; with Monitor files, made with
        ``monitor_kwargs={"override_existing": False}``.
    :param model: instead of ``env``: built with the same settings, for those that cannot be
        written down, a function as a schedule, for example.
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
    for name, number in (("num_threads", num_threads), ("n_timesteps", n_timesteps)):
        if number is not None:
            integer_at_least(1, name, number)
    boolean("progress", progress)
    run = Path(path)
    folder = CheckpointFolder(run / FOLDER)
    if not folder.path.is_dir():
        raise CheckpointError(_what_is_missing(run))
    let_go_of_dead_training(folder.path)
    try:
        folder.lock()
    except OSError as error:
        raise CheckpointError(f"{folder.path} cannot be written to: {error}") from error
    try:
        resumption = _find(folder, n_timesteps)
        description = read_json(folder.path / RUN_FILE)
        if num_threads is not None:
            description["threads"] = num_threads
        if description["kind"] != "rl_zoo":
            description["learn"]["progress_bar"] = progress
            return _resume_script(resumption, description, env, model, callback, device or "auto")
        if not (env is None and model is None and callback is None):
            raise CheckpointError(
                f"{path} is a run of RL Zoo, which is built again from its settings: leave env,"
                " model and callback out"
            )
        asked = {"device": device, "progress": progress or None, "storage": storage}
        changes = {name: value for name, value in asked.items() if value is not None}
        description["arguments"] = {**description.get("arguments", {}), **changes}
        resumed: BaseAlgorithm = named(_RESUME_EXPERIMENT)(description, resumption)
        return resumed
    finally:
        folder.unlock()


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


def _find(folder: CheckpointFolder, n_timesteps: int | None) -> Resumption:
    """Return the newest whole checkpoint, and how long the training shall be."""
    checkpoint = folder.newest()
    for warning in checkpoint.warnings:
        print(f"{warning}; the checkpoint before it is taken", flush=True)
    here = installed_versions()
    changes = [
        f"{name} {version} is {here.get(name, 'not here')} now"
        for name, version in checkpoint.versions.items()
        if here.get(name) != version
    ]
    if changes:
        print(f"It may not resume to the bit: since the checkpoint, {', '.join(changes)}")
    n_timesteps = n_timesteps or checkpoint.n_timesteps
    if n_timesteps <= checkpoint.step:
        raise CheckpointError(
            f"{folder.path.parent} is at step {checkpoint.step:,} already, {n_timesteps:,} are"
            " asked for: to train longer ask for more, with -n N or resume(path, n_timesteps=N)"
        )
    return Resumption(folder, checkpoint, folder.read_state(checkpoint), n_timesteps)


def _resume_script(
    resumption: Resumption,
    description: dict[str, Any],
    env: GymEnv | None,
    model: BaseAlgorithm | None,
    callback: BaseCallback | Sequence[BaseCallback] | None,
    device: str,
) -> BaseAlgorithm:
    """Resume a training that Python code has begun, not a command of RL Zoo or ours."""
    if not (env is None or model is None):
        raise ValueError("pass env or model, not both: the model has its own env")
    callbacks = _callbacks(callback, description["every"], description.get("place"))
    made = _env_of(description, resumption.run) if env is None and model is None else None
    try:
        if model is None:
            model = build_model(description, env or made, device)
        th.set_num_threads(description["threads"])
        resumption.prepare(model, callbacks)
        return model.learn(
            resumption.n_timesteps,
            callback=callbacks,
            reset_num_timesteps=False,
            **description["learn"],
        )
    except BaseException:
        if made is not None:
            made.close()  # nobody else has it
        raise


def _env_of(description: dict[str, Any], run: Path) -> VecEnv:
    """Return environments as ``make_atari_env`` made them, whose Monitor files are continued."""
    if description["made_by"] is None:
        raise CheckpointError(
            f"it was not noted how the environment of {run} was made, as make_atari_env does: from"
            " Python, pass one that is made in the same way, resume(path, env)"
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
