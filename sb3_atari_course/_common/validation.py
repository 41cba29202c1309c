"""Validation of arguments, with error messages that name the value and the remedy."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from types import FrameType
from typing import Any, TypeVar, cast

import numpy as np
import torch as th

from sb3_atari_course._common.errors import SettingError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Object = TypeVar("_Object")

#: Names of our arguments in SB3's AtariWrapper, Gymnasium's AtariPreprocessing, ale-py's vector
#: environment and RL Zoo.
_SYNONYMS = {
    "shape": ("screen_size", "resize", "img_height", "img_width"),
    "frame_skip": ("frameskip", "skip", "action_repeat"),
    "n_stack": ("frame_stack", "framestack", "stack_num", "stack_size", "num_stack"),
    "padding": ("padding_type",),
    "noop_max": ("noops",),
    "terminal_on_life_loss": ("episodic_life", "life_loss", "life_loss_info"),
    "fire_on_reset": ("fire", "fire_reset", "use_fire_reset"),
    "fire": ("fire_on_reset", "fire_reset", "use_fire_reset"),
    "clip_reward": ("reward_clip", "reward_clipping"),
    "max_pool": ("maxpool",),
    "n_envs": ("num_envs",),
    "n_games": ("n_eval_episodes", "n_episodes"),
    "n_threads": ("num_threads",),
    "repeat_action_probability": ("action_repeat_probability",),
}


def integer_at_least(minimum: int, name: str, value: Any) -> int:
    """Return ``value`` as an int.

    :param minimum: smallest allowed value.
    :param name: name of the argument, for the message.
    :param value: an int or a NumPy integer.
    :raises TypeError: if ``value`` is not an integer.
    :raises ValueError: if ``value`` is below ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    number = int(value)
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` as a bool.

    :param name: name of the argument, for the message.
    :param value: a Python or NumPy bool.
    :raises TypeError: for anything else, also for ``"no"`` or 0.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def probability(name: str, value: Any) -> float:
    """Return ``value`` as a float from 0 to 1.

    :param name: name of the argument, for the message.
    :param value: a real number of Python or NumPy.
    :raises TypeError: if ``value`` is not a number.
    :raises ValueError: if ``value`` is below 0, above 1 or NaN.
    """
    number = finite_number(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a probability from 0 to 1, got {value!r}")
    return number


def finite_number(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    :param name: name of the argument, for the message.
    :param value: a real number of Python or NumPy.
    :raises TypeError: if ``value`` is not a number.
    :raises ValueError: if ``value`` is infinite or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_torch_device(name: str, device: Any) -> None:
    """Check that a requested PyTorch device exists (PyTorch fails late, SB3 falls back to the CPU).

    :param name: name of the setting, for the message.
    :param device: ``"auto"``, or a device of PyTorch.
    :raises SettingError: if the device does not exist, or ``device`` is invalid.
    """
    try:
        requested = th.device("cpu" if device == "auto" else device)
    except (RuntimeError, TypeError):
        raise SettingError(f"{name} must be 'auto', 'cpu' or 'cuda', got {device!r}") from None
    if requested.type == "cuda":
        if (requested.index or 0) >= th.cuda.device_count():
            raise SettingError(
                f"{name}={str(device)!r} does not exist (CUDA devices found:"
                f" {th.cuda.device_count()}): use 'cpu', or 'auto' for a GPU if there is one"
            )
        return
    try:
        th.empty(0, device=requested)
    except (RuntimeError, AssertionError, ImportError):  # PyTorch was built without it
        raise SettingError(
            f"{name}={str(device)!r} does not exist in this build of PyTorch: use 'cpu' or 'auto'"
        ) from None


def explain_arguments(function: _Function) -> _Function:
    """Decorate a function to explain wrong arguments, with the nearest name and all names.

    For functions and ``__init__``; the signature is preserved. A function with ``**kwargs`` must
    check their names itself, with :func:`refuse_unknown`. The decorated function raises a TypeError
    for an unknown argument, a missing one, and for too many positional ones.
    """
    signature = inspect.signature(function)
    what = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def explained(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            _explain(what, signature, args, kwargs)
            raise

    return cast(_Function, explained)


def _explain(
    what: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise a TypeError if the arguments do not fit the signature."""
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    args = args[len(signature.parameters) - len(parameters) :]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        refuse_unknown(what, kwargs, [one.name for one in parameters])
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    n_by_position = sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
    if len(args) > n_by_position and by_name:
        raise TypeError(
            f"{what} got {reprlib.repr(args[n_by_position])} by position: pass it by name, one of"
            f" {', '.join(f'{name}=' for name in by_name)}"
        )
    try:
        inspect.Signature(parameters).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None


def refuse_unknown(
    what: str,
    given: Mapping[str, Any],
    names: Iterable[str],
    inside: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Raise an error for an argument whose name is not one of ``names``.

    :param what: name of the called function, for the message.
    :param given: the keyword arguments.
    :param names: the known names.
    :param inside: names of arguments that are dicts, and the names known inside each of them.
    :raises TypeError: with the value, the nearest name and all names.
    """
    names = list(names)
    for name, value in given.items():
        if name in names:
            continue
        near = _nearest(name, names)
        for outer, inner_names in (inside or {}).items():
            inner = None if near else _nearest(name, list(inner_names))
            near = f"{outer}=dict({inner}=...)" if inner else near
        hint = f" did you mean {near}?" if near else ""
        raise TypeError(
            f"{what} has no argument {name}={reprlib.repr(value)}:{hint} It takes"
            f" {', '.join(names)}"
        )


def _nearest(name: str, names: list[str]) -> str | None:
    """Return the most similar of the names, or the one called ``name`` in another library."""
    same = [one for one in names if name in _SYNONYMS.get(one, ())]
    near = same or difflib.get_close_matches(name, names, n=1)
    return near[0] if near else None


def callers(kind: type[_Object]) -> Iterator[_Object]:
    """Yield the objects of a class whose methods are on the call stack, innermost first.

    SB3 (2.9.2) does not pass its algorithm to environments, replay buffers or policies, so it is
    searched on the stack. (``checkpoints.callback`` searches RL Zoo's experiment in the same way.)
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind):
            yield caller
        frame = frame.f_back
