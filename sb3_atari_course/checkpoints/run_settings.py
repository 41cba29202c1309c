"""How a training was begun, as JSON beside its checkpoints: ``run.json``.

RL Zoo's own ``args.yml`` holds Python objects; here are plain settings and names. Whoever resumes a
training imports what they name, as its script did: trust the folder like one.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.passwords import without_passwords
from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course.q_learning import EpisodeDecay

#: Objects that are what their attributes say.
_OBJECTS = (ConstantSchedule, FloatSchedule, LinearSchedule, SimpleLinearSchedule, EpisodeDecay)

#: Of a constructor: what is not a setting, or not one that an algorithm here passes on.
_NO_SETTINGS = {"self", "args", "kwargs", "policy", "env", "device", "monitor_wrapper"}
_NO_SETTINGS |= {"_init_setup_model", "support_multi_env", "supported_action_spaces"}
_NO_SETTINGS |= {"use_sde", "sde_sample_freq"}


def experiment_behind() -> ExperimentManager | None:
    """Return RL Zoo's experiment that has called us; it does not pass itself to its callbacks."""
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
    :param experiment: None if it was not a command of RL Zoo or ours.
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
    """Return the command line of a training; what its yml said is in the run's ``config.yml``.

    The address of ``--storage`` loses its password: it is given again when the training is resumed.
    """
    arguments = without_passwords(vars(experiment.args))
    for name in ("trained_agent", "conf_file"):
        if arguments.get(name) and os.path.exists(arguments[name]):
            arguments[name] = os.path.abspath(arguments[name])
    return {
        "experiment": to_json(type(experiment), "the experiment"),
        "native": experiment.default_vec_env_cls is not None,
        "arguments": to_json(arguments, "the command line"),
    }


def to_json(value: Any, name: str = "this setting") -> Any:
    """Return settings as JSON can hold them.

    :raises NotPlainError: for an object or function that cannot be found again by its name.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return to_json(value.item(), name)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return {"$array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, (Enum, Path)):
        return to_json(value.value, name) if isinstance(value, Enum) else str(value)
    if isinstance(value, dict):
        return _dict_to_json(value, name)
    if isinstance(value, (list, tuple)):
        items = [to_json(one, name) for one in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, _OBJECTS):
        return {"$object": to_json(type(value), name), "attributes": to_json(vars(value), name)}
    with contextlib.suppress(CheckpointError, AttributeError):
        path = f"{value.__module__}:{value.__qualname__}"
        if named(path) is value:
            return {"$name": path}
    raise NotPlainError(f"{name} = {value!r} cannot be written down")


def _dict_to_json(value: dict[Any, Any], name: str) -> dict[str, Any]:
    """Return a dict as it is, or as pairs if a key is not a string (or one of our marks)."""
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: to_json(one, key) for key, one in value.items()}
    pairs = [[to_json(key, name), to_json(one, str(key))] for key, one in value.items()]
    return {"$dict": pairs}


def from_json(packed: Any) -> Any:
    """Return what :func:`to_json` was given; modules that it names are imported."""
    if isinstance(packed, list):
        return [from_json(one) for one in packed]
    if not isinstance(packed, dict):
        return packed
    if "$dict" in packed:
        return {from_json(key): from_json(value) for key, value in packed["$dict"]}
    if "$tuple" in packed:
        return tuple(from_json(packed["$tuple"]))
    if "$array" in packed:
        return np.array(packed["$array"], packed["dtype"])
    if "$name" in packed:
        return named(packed["$name"])
    if "$object" in packed:
        made = object.__new__(from_json(packed["$object"]))
        made.__dict__.update(from_json(packed["attributes"]))
        return made
    return {key: from_json(value) for key, value in packed.items()}


def named(name: str) -> Any:
    """Return what lies under a name, ``module:qualified.name``.

    :raises CheckpointError: if it is not there any more.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{name}, which the training used, is not there any more ({error}): put it back, or"
            " resume from Python where it is, resume(path, model=model)"
        ) from None
    return found
