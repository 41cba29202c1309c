"""How a training was begun, written down as JSON beside its checkpoints: ``run.json``.

RL Zoo's own ``config.yml`` and ``args.yml`` hold Python objects; here are plain settings and names.
Whoever resumes a training imports what they name, as its script did: trust the folder like one.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.passwords import without_passwords
from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course.checkpoints.resuming.settings import from_json, to_json
from sb3_atari_course.zoo.run_folder import read_yml

#: Of a constructor: what is no setting, or not one that an algorithm here passes on.
_NO_SETTINGS = {"self", "args", "kwargs", "policy", "env", "device", "monitor_wrapper"}
_NO_SETTINGS |= {"_init_setup_model", "support_multi_env", "supported_action_spaces"}
_NO_SETTINGS |= {"use_sde", "sde_sample_freq"}


def experiment_behind() -> ExperimentManager | None:
    """Return RL Zoo's experiment that has called us; it tells its callbacks nothing of itself."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, ExperimentManager):
            return caller
    return None


def describe_run(
    run: Path,
    model: BaseAlgorithm,
    experiment: ExperimentManager | None,
    *,
    learn: dict[str, Any],
    every: int,
    place: int | None = None,
) -> dict[str, Any]:
    """Return how a training was begun, as JSON.

    :param run: its folder.
    :param experiment: None if it was no command of RL Zoo or ours.
    :param learn: the local variables of ``model.learn``.
    :param every: steps between two checkpoints.
    :param place: of ``ExactCheckpoint`` among the callbacks; None for the last.
    """
    common = {"every": every, "threads": th.get_num_threads()}
    if experiment is not None:
        return {"kind": "rl_zoo", **common, **_describe_experiment(experiment)}
    description: dict[str, Any] = {
        "kind": "python",
        **common,
        "learn": {name: learn[name] for name in ("log_interval", "tb_log_name")},
        "place": place,
        "made_by": None,
    }
    with contextlib.suppress(NotPlainError):  # else whoever resumes it passes an env
        description["made_by"] = to_json(_made_by(model, run))
    try:
        description["model"] = to_json(_settings_of(model))
    except NotPlainError as error:
        description["unknown"] = str(error)
    return description


def build_model(description: dict[str, Any], env: Any, device: str) -> BaseAlgorithm:
    """Return a new model with the settings of a run.

    :raises CheckpointError: if they could not be written down.
    """
    if "unknown" in description:
        raise CheckpointError(
            f"{description['unknown']}: build the model as the first time, and pass it:"
            " resume(path, model=model)"
        )
    settings = from_json(description["model"])
    algorithm = settings.pop("algorithm")
    model: BaseAlgorithm = algorithm(env=env, device=device, **settings)
    return model


def _made_by(model: BaseAlgorithm, run: Path) -> dict[str, Any] | None:
    """Return the arguments of ``make_atari_env``, with folders as seen from the run folder."""
    made_by: dict[str, Any] | None = vars(model.env).get("made_by")  # not of an env inside others
    if made_by is None or made_by.get("monitor_dir") is None:
        return made_by
    monitor_dir = os.path.relpath(Path(made_by["monitor_dir"]).resolve(), run.resolve())
    return {**made_by, "monitor_dir": monitor_dir}


def _settings_of(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the arguments with which a model was built, by what it keeps of them."""
    own: dict[str, Any] = {**vars(model), "stats_window_size": model._stats_window_size}
    settings = {name: own[name] for name in _parameters(type(model)) if name in own}
    if settings.get("train_freq") is not None:
        settings["train_freq"] = tuple(settings["train_freq"])
    chosen = NStepReplayBuffer if own.get("n_steps", 1) > 1 else ReplayBuffer
    if settings.get("replay_buffer_class") is chosen:  # by SB3, which would warn of one given
        del settings["replay_buffer_class"]
    return {"algorithm": type(model), "policy": model.policy_class, **settings}


def _parameters(algorithm: type) -> Iterator[str]:
    """Yield the names of a constructor's arguments, and of those that it passes on."""
    for parent in algorithm.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters  # type: ignore[misc]
        yield from (name for name in parameters if name not in _NO_SETTINGS)
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return


def _describe_experiment(experiment: ExperimentManager) -> dict[str, Any]:
    """Return the command line of a training, and the settings that it has read from its yml.

    The address of ``--storage`` loses its password: it is given again when the training is resumed.
    """
    arguments = without_passwords(vars(experiment.args))
    for name in ("trained_agent", "conf_file"):
        if arguments.get(name) and os.path.exists(arguments[name]):
            arguments[name] = os.path.abspath(arguments[name])
    config = Path(experiment.params_path) / "config.yml"
    by_name = "python/name" in config.read_text(encoding="utf-8")  # a Python file, read again
    return {
        "experiment": to_json(type(experiment), "the experiment"),
        "native": experiment.default_vec_env_cls is not None,
        "arguments": to_json(arguments, "the command line"),
        "settings": None if by_name else to_json(dict(read_yml(config)), "the yml"),
    }
