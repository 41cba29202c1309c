"""Checks of arguments that more than one module needs: which value was wrong, and what to do."""

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

#: What SB3's AtariWrapper, Gymnasium's AtariPreprocessing, ale-py's vector environment and RL Zoo
#: call our arguments.
_ALSO_CALLED = {
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

    :param minimum: smallest value allowed.
    :param name: name of the argument, for the message.
    :param value: what the caller passed; an int, or an integer of NumPy.
    :raises TypeError: if it is no integer.
    :raises ValueError: if it is below ``minimum``.
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
    :param value: what the caller passed: a Python or NumPy bool; ``"no"`` or 0 are not flags.
    :raises TypeError: if it is anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def probability(name: str, value: Any) -> float:
    """Return ``value`` as a float from 0 to 1.

    :param name: name of the argument, for the message.
    :param value: what the caller passed; any real number, numpy's too.
    :raises TypeError: if it is not a number.
    :raises ValueError: if it is below 0, above 1 or NaN.
    """
    number = finite_number(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a probability from 0 to 1, got {value!r}")
    return number


def finite_number(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    :param name: name of the argument, for the message.
    :param value: what the caller passed; any real number, numpy's too.
    :raises TypeError: if it is no number.
    :raises ValueError: if it is infinite or not a number (NaN).
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_cuda_device(name: str, device: Any) -> None:
    """Raise an error if a setting asks for a GPU that is not there.

    :param name: of the setting, for the message.
    :param device: ``"auto"``, or what PyTorch takes for a device.
    :raises SettingError: without that GPU, and for what is not a device.
    """
    try:
        asked = th.device("cpu" if device == "auto" else device)
    except RuntimeError:
        raise SettingError(f"{name} must be 'auto', 'cpu' or 'cuda', got {device!r}") from None
    if asked.type == "cuda" and (asked.index or 0) >= th.cuda.device_count():
        raise SettingError(
            f"{name}={str(device)!r}, but this machine has no such card (CUDA cards:"
            f" {th.cuda.device_count()}): choose 'cpu', or 'auto' for a card where there is one"
        )


def explain_arguments(function: _Function) -> _Function:
    """Let a function refuse arguments that it does not have with the nearest name and a list.

    For functions and ``__init__``; the signature stays what it is. One with ``**kwargs`` checks
    their names itself, with :func:`refuse_unknown`.

    :raises TypeError: by the function: for an unknown name, a missing one, too many by position.
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
    """Raise an error if arguments do not fit a signature."""
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    args = args[len(signature.parameters) - len(parameters) :]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        refuse_unknown(what, kwargs, [one.name for one in parameters])
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    n_by_position = sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
    if len(args) > n_by_position and by_name:
        raise TypeError(
            f"{what} got {reprlib.repr(args[n_by_position])} by position: name the argument,"
            f" one of {', '.join(f'{name}=' for name in by_name)}"
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
    """Raise an error if a name is given that is not one of ``names``.

    :param what: the function that is called, for the message.
    :param given: its arguments by name.
    :param names: those that it has.
    :param inside: those that belong into one of its arguments, which is a dictionary.
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
    """Return what is most like ``name``, or means the same in another library."""
    same = [one for one in names if name in _ALSO_CALLED.get(one, ())]
    near = same or difflib.get_close_matches(name, names, n=1)
    return near[0] if near else None


def callers(kind: type[_Object]) -> Iterator[_Object]:
    """Yield each object of a class with a method among the callers, innermost first.

    SB3 (2.9.2) does not pass its algorithm to environments, replay buffers or policies, so this is
    the one place that looks for it on the stack.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind):
            yield caller
        frame = frame.f_back
