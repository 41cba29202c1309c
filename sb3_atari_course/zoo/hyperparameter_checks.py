"""Hyperparameter checks: names, types and ranges of a yml entry and of command-line overrides."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import yaml
from gymnasium.envs.registration import load_env_creator
from rl_zoo3 import ALGOS, exp_manager
from rl_zoo3.utils import StoreDict
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_course._common.errors import SettingError, raised_at
from sb3_atari_course.hyperparams import hyperparams_file
from sb3_atari_course.q_learning.schedules import VISITS

#: Returns the prefix of a message for a key: where it was set, ``"x.yml: gamma: "``.
Place = Callable[[str], str]

#: Keys that RL Zoo itself reads, in addition to the algorithm's arguments -> type.
_RL_ZOO_KEYS: dict[str, Any] = {
    "callback": Any,
    "env_kwargs": dict | None,
    "env_wrapper": Any,
    "frame_stack": int | None,
    "monitor_kwargs": dict,
    "n_envs": int,
    "n_timesteps": int,
    "noise_std": float,
    "noise_type": str | None,
    "normalize": bool | dict,
    "policy": str,
    "policy_kwargs": dict | None,
    "vec_env_wrapper": Any,
}

#: Keys whose strings RL Zoo evaluates as Python.
_EXPRESSIONS = (
    *("monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_class"),
    "replay_buffer_kwargs",
)

_PROBABILITIES = (
    *("exploration_final_eps", "exploration_fraction", "exploration_initial_eps"),
    *("gae_lambda", "gamma", "repeat_action_probability", "tau"),
)
_NOT_NEGATIVE = ("clip_range", "learning_rate", "learning_starts", "max_grad_norm", "noise_std")
_POSITIVE = (
    *("batch_size", "buffer_size", "frame_stack", "n_critics", "n_envs", "n_epochs"),
    *("n_quantiles", "n_steps", "n_timesteps", "policy_delay", "stats_window_size"),
    *("target_update_interval", "train_freq"),
)

#: Valid ranges; SB3 itself fails late for a value outside, or silently replaces it.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_PROBABILITIES, (0, 1)),
    **dict.fromkeys(_NOT_NEGATIVE, (0, math.inf)),
    **dict.fromkeys(_POSITIVE, (1, math.inf)),
    "gradient_steps": (-1, math.inf),
}

_KINDS: dict[Any, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    Callable: "a schedule such as lin_0.5, which falls linearly to 0",
    tuple: "a list",
    dict: "a mapping",
    Mapping: "a mapping",
    list: "a list",
    type: 'a class, as in policy_kwargs: "dict(activation_fn=nn.ReLU)"',
    types.NoneType: "None",
}

#: An unsigned number, also in forms that YAML reads as a string (1e3).
_UNSIGNED = r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NUMBER_SYNTAX = "write it without quotes, and with a dot and a sign if it has an e, as in 1.0e-4"

#: An argument annotated with only these types cannot be a string.
_NO_STRINGS = {bool, int, float, tuple, list, dict, types.NoneType}

#: Packages whose type annotations can be relied on.
_ANNOTATED = ("stable_baselines3", "sb3_contrib", "sb3_atari_course")


class NamedValues(StoreDict):
    """``argparse`` action for ``NAME:VALUE ...``: RL Zoo's ``StoreDict`` with clear errors.

    A repeated flag adds to the values instead of replacing them.

    :raises SettingError: for an argument that is not a pair, or a value that is not Python.
    """

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Parse and store the values of one flag."""
        found = dict(getattr(namespace, self.dest) or {})
        for text in values:
            name, _, value = text.partition(":")
            try:
                if not name.isidentifier() or not value:
                    raise ValueError
                super().__call__(parser, namespace, [text])  # type: ignore[no-untyped-call]
            except Exception as error:
                reason = f"{type(error).__name__}: {error}: " if str(error) else ""
                raise SettingError(
                    f"{option_string} {text}: {reason}write NAME:VALUE, strings in quotes"
                    " (\"policy:'MlpPolicy'\")"
                ) from None
            found.update(getattr(namespace, self.dest))
        setattr(namespace, self.dest, found)


def unreadable_config(error: Exception, config: str, env_id: str, advice: str) -> SettingError:
    """Return the error for a configuration file that RL Zoo could not read.

    :param error: the exception of RL Zoo's ``read_hyperparameters``.
    :param config: value of ``-conf``: a yml, a Python file, or the name of a module.
    :param advice: what to do if the environment has no entry.
    """
    if isinstance(error, ValueError) and raised_at(error)[0] == "rl_zoo3":
        entry = "default"
    elif error.args == ("atari",):
        entry = "atari"
    else:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return SettingError(
            f"-conf {config} cannot be read: {reason}; it must map environments to hyperparameters"
            f" ({env_id}: {{policy: MlpPolicy, n_timesteps: 50000}}), in a Python file as the"
            f" variable hyperparams{_hint_at_ours(config)}"
        )
    return SettingError(f"{config} has no entry for {env_id} and no entry {entry!r}: {advice}")


def _hint_at_ours(config: str) -> str:
    """Return a hint at our file of the same name, "" if there is none."""
    name = Path(config).stem
    try:
        hyperparams_file(name)
    except FileNotFoundError:
        return ""
    return f"; ours is -conf sb3_atari_course.hyperparams.{name}"


def check_entry(entry: dict[str, Any], algo: str, place: Place) -> None:
    """Check names, types and ranges of the hyperparameters of one environment.

    Whole-number floats of integer keys (1.0e+4) are converted to integers, in place.

    :param entry: the yml entry, with ``-params`` merged in.
    :param algo: RL Zoo's name of the algorithm.
    :param place: returns the prefix of an error message for a key.
    :raises SettingError: for the first wrong one: where it was set, its value, what to do.
    """
    algorithm = ALGOS[algo]
    own, is_open = _parameters(algorithm)
    known = {name: one.annotation for name, one in own.items()}
    known.update(_RL_ZOO_KEYS)
    for key, value in list(entry.items()):
        if key not in known and not is_open:
            _refuse(place, key, value, f"is not a hyperparameter of {algo}{_nearest(key, known)}")
        if not (isinstance(value, str) and key in _EXPRESSIONS):
            entry[key] = _checked(place, key, value, known.get(key, Any))
    if "policy" not in entry:
        known_policies = ", ".join(algorithm.policy_aliases)
        raise SettingError(f"{place('policy')}is missing: add one of {known_policies}")
    if entry.get("noise_type") is not None and "noise_std" not in entry:
        _refuse(place, "noise_type", entry["noise_type"], "needs noise_std too: add it")
    _check_kwargs(place, algo, entry)
    stack = entry.get("frame_stack") or 1
    if entry.get("normalize") and stack > 1 and issubclass(algorithm, OffPolicyAlgorithm):
        problem = f"cannot be combined with frame_stack: {stack} in {algo}, since SB3 would store"
        _refuse(place, "normalize", entry["normalize"], f"{problem} unstacked frames: remove one")
    for key in ("env_wrapper", "vec_env_wrapper", "callback"):
        _check_paths(place, key, entry.get(key))


def _check_kwargs(place: Place, algo: str, entry: dict[str, Any]) -> None:
    """Check the arguments of the policy, the replay buffer, VecNormalize and Monitor."""
    values = {key: _evaluated(place, key, entry.get(key)) for key in _EXPRESSIONS}
    buffer = values["replay_buffer_class"]
    if buffer is not None and not (isinstance(buffer, type) and issubclass(buffer, ReplayBuffer)):
        _refuse(place, "replay_buffer_class", buffer, "is not a subclass of SB3's ReplayBuffer")
    policy, aliases = entry["policy"], ALGOS[algo].policy_aliases
    classes = {
        "policy_kwargs": _imported(place, "policy", policy)
        if "." in policy
        else aliases.get(policy),
        "replay_buffer_kwargs": buffer or NStepReplayBuffer,
        "normalize": VecNormalize,
        "monitor_kwargs": Monitor,
    }
    for key, cls in classes.items():
        if entry.get(key) is None or isinstance(entry[key], (bool, np.bool_)):
            continue
        checked = _check_arguments(place, key, cls, values[key])
        if key == "replay_buffer_kwargs" and buffer is not None:
            _check_gamma(place, algo, entry, buffer, checked)
        if repr(checked) != repr(values[key]):
            entry[key] = checked


def _check_gamma(
    place: Place, algo: str, entry: Mapping[str, Any], buffer: type, kwargs: dict[str, Any]
) -> None:
    """Check that an n-step replay buffer discounts with the algorithm's gamma.

    :param kwargs: arguments of the buffer; a gamma of None is replaced by the algorithm's.
    """
    defaults = _parameters(buffer)[0]
    if "n_steps" not in defaults or kwargs.get("n_steps", defaults["n_steps"].default) < 2:
        return
    gamma = entry.get("gamma", _parameters(ALGOS[algo])[0]["gamma"].default)
    own = kwargs.get("gamma", defaults["gamma"].default)
    if own is None:
        kwargs["gamma"] = gamma
    elif own != gamma:
        problem = f"differs from the algorithm's gamma {gamma}, which discounts n-step returns"
        _refuse(place, "replay_buffer_kwargs.gamma", own, problem)


def check_env_kwargs(kwargs: dict[str, Any] | None, env_id: str, name: str) -> None:
    """Check the types of an environment's arguments, and create it once with them.

    Whole-number floats of integer arguments are converted to integers, in place.

    :param name: of the setting, for the message.
    :raises SettingError: for the first wrong one, and if the environment cannot be created.
    """
    if not kwargs:
        return
    place = "{}: ".format
    make = gym.spec(env_id).entry_point
    create = load_env_creator(make) if isinstance(make, str) else make
    known: dict[str, inspect.Parameter] = {}
    if isinstance(create, type):
        known.update(_parameters(create)[0])
    known.update(_signature(gym.make))
    for key, value in kwargs.items():
        path = f"{name}.{key}"
        _check_numbers(place, path, value)
        annotation = known[key].annotation if key in known else Any
        is_whole_float = isinstance(value, float) and value.is_integer()
        if _kinds(annotation) <= _NO_STRINGS and (isinstance(value, str) or is_whole_float):
            kwargs[key] = _checked(place, path, value, annotation)
        if key == "repeat_action_probability":  # ale-py accepts any number
            _checked(place, path, value, float)
    try:
        gym.make(env_id, **kwargs).close()
    except Exception as error:  # a constructor may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise SettingError(f"{name} {kwargs}: cannot create {env_id}: {reason}") from error


def _signature(function: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function; {} if they cannot be inspected."""
    for eval_str in (True, False):  # annotations may use names imported for type checking only
        with contextlib.suppress(TypeError, ValueError, NameError, AttributeError):
            return inspect.signature(function, eval_str=eval_str).parameters
    return {}


def _parameters(cls: type) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the constructor parameters of a class and its parents, and whether it takes more."""
    found: dict[str, inspect.Parameter] = {}
    for parent in cls.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = _signature(parent.__init__)  # type: ignore[misc]
        for name, one in list(parameters.items())[1:]:
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and not name.startswith("_"):
                found.setdefault(name, one)
        if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return found, False
    return found, True


def _checked(place: Place, key: str, value: Any, annotation: Any) -> Any:
    """Check type and range of a value; return it, whole-number floats of integers as integers."""
    kinds = _kinds(annotation)
    if not _fits(value, kinds):
        names = {**_KINDS, str: repr(VISITS)} if Callable in kinds else _KINDS
        wanted = " or ".join(dict.fromkeys(names[kind] for kind in names if kind in kinds))
        remedy = f": {_NUMBER_SYNTAX}" if _is_number(value) else ""
        _refuse(place, key, value, f"must be {wanted}{remedy}")
    _check_numbers(place, key, value)
    name = key.rpartition(".")[2]
    if name == "train_freq" and isinstance(value, (list, tuple)) and len(value) != 2:
        _refuse(place, key, value, 'must be a pair such as [4, "step"] or [1, "episode"]')
    number = value[0] if isinstance(value, (list, tuple)) and value else value
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, float, np.number)):
        return value
    is_bound = key.startswith("normalize.") and number > 0  # infinity: do not clip
    if not math.isfinite(number) and not is_bound:
        _refuse(place, key, value, "must be finite")
    if int in kinds and float not in kinds and isinstance(value, float):
        value = int(value)
    least, most = _RANGES.get(name, (-math.inf, math.inf))
    if not least <= number <= most:
        _refuse(place, key, value, f"must be between {least} and {most}")
    return value


def _check_layers(place: Place, key: str, value: Any) -> None:
    """Check that a ``net_arch`` contains layer sizes only."""
    for name, one in _leaves(key, value):
        if isinstance(one, bool) or not isinstance(one, int) or one < 1:
            _refuse(place, name, one, "must be a layer size, an integer above 0")


def _kinds(annotation: Any) -> set[Any]:
    """Return the types in an annotation, without their type parameters."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    return {typing.get_origin(member) or member for member in members}


def _fits(value: Any, kinds: set[Any]) -> bool:
    """Return whether a value has one of the types."""
    if kinds & {Any, inspect.Parameter.empty} or not all(isinstance(one, type) for one in kinds):
        return True  # no usable annotation
    is_number = bool(kinds & {int, float})
    if isinstance(value, str) and Callable in kinds:
        is_schedule = re.fullmatch("lin_" + _UNSIGNED, value) is not None
        return is_schedule or (value == VISITS and str in kinds)
    if isinstance(value, (bool, np.bool_)):
        return bool in kinds
    if is_number and isinstance(value, Real):
        return float in kinds or not math.isfinite(value) or float(value).is_integer()
    if isinstance(value, (list, tuple)) and kinds & {list, tuple}:
        return True
    if type in kinds and callable(value):
        return True  # a factory in place of a class
    with contextlib.suppress(TypeError):  # raised for protocols
        return isinstance(value, tuple(kinds))
    return True


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch("[+-]?" + _UNSIGNED, text) is not None


def _check_numbers(place: Place, key: str, value: Any) -> None:
    """Reject numbers that YAML reads as strings (1e3), also in nested values."""
    for name, one in _leaves(key, value):
        if _is_number(one) and isinstance(yaml.safe_load(one), str):
            _refuse(place, name, one, f"is a string: {_NUMBER_SYNTAX}")


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of nested mappings and lists, each with its dotted key."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(f"{key}.{name}", one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(key, one)
    else:
        yield key, value


def _check_paths(place: Place, key: str, value: Any) -> None:
    """Check that the import paths of a key exist: ``path``, ``{path: kwargs}``, or a list."""
    for one in value if isinstance(value, list) else [value]:
        path = next(iter(one), None) if isinstance(one, Mapping) else one
        if isinstance(path, str):
            _imported(place, key, path)
        elif path is not None:
            _refuse(place, key, path, "must be a dotted path, or a mapping from one to arguments")


def _imported(place: Place, key: str, path: str) -> Any:
    """Import the object at a dotted path; errors inside the module pass through."""
    module, _, name = path.rpartition(".")
    if not module:
        _refuse(place, key, path, "must be a dotted path, such as package.module.Name")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # it exists, but an import inside it failed
        _refuse(place, key, path, f"cannot be imported: {error}")
    if not hasattr(found, name):
        hint = _nearest(name, vars(found))
        _refuse(place, key, path, f"cannot be imported: {module} has no attribute {name!r}{hint}")
    return getattr(found, name)


def _evaluated(place: Place, key: str, value: Any) -> Any:
    """Return the value of a key; strings are evaluated as RL Zoo does."""
    if not isinstance(value, str):
        return value
    try:
        return eval(value, dict(vars(exp_manager)))
    except Exception as error:
        _refuse(place, key, value, f"cannot be evaluated as Python: {error}")


def _check_arguments(place: Place, key: str, cls: Any, kwargs: Any) -> dict[str, Any]:
    """Check the keyword arguments of a class; return them with integers and tuples converted.

    For classes outside SB3 and this package only numbers are checked.
    """
    if not isinstance(kwargs, Mapping):
        _refuse(place, key, kwargs, "must be a mapping of arguments")
    checked = dict(kwargs)
    _check_numbers(place, key, checked)
    if not isinstance(cls, type) or cls.__module__.partition(".")[0] not in _ANNOTATED:
        return checked
    parameters, is_open = _parameters(cls)
    for name, value in kwargs.items():
        path = f"{key}.{name}"
        if name in parameters:
            annotation = parameters[name].annotation
            checked[name] = _checked(place, path, value, annotation)
            if name == "net_arch" and value is not None:
                _check_layers(place, path, value)
            if isinstance(value, list) and _kinds(annotation) & {tuple, list} == {tuple}:
                checked[name] = tuple(value)
        elif not is_open:
            problem = f"is not an argument of {cls.__name__}"
            _refuse(place, path, value, f"{problem}{_nearest(name, parameters)}")
    return checked


def _nearest(name: Any, known: Iterable[str]) -> str:
    """Return a hint: the most similar known name, or all of them if they are few."""
    names = sorted(one for one in known if not one.startswith("_"))
    near = difflib.get_close_matches(str(name), names, n=1)
    if near:
        return f": did you mean {near[0]}?"
    return f": choose one of {', '.join(names)}" if 0 < len(names) <= 40 else ""


def _refuse(place: Place, key: str, value: Any, problem: str) -> NoReturn:
    raise SettingError(f"{place(str(key))}{shorten(repr(value), 100)} {problem}")
