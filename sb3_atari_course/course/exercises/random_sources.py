"""Sources of random numbers of a student's environment: ``self.np_random``, or which others."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import seeding

from sb3_atari_course.course.exercises.judging import Solution, WrongError


def check_source(
    solution: Solution,
    env: Any,
    method: str,
    call: Callable[[], Any],
    *,
    seed: int | None = None,
) -> None:
    """Refuse a method that does not sample from ``self.np_random``; name what it uses instead.

    :param method: its name.
    :param call: calls it.
    :param seed: with which ``self.np_random`` is seeded in it.
    """
    generator = _generator_of(env)
    unused = old = generator.bit_generator.state
    if seed is not None:
        unused = seeding.np_random(seed)[0].bit_generator.state
    others = changed_sources(solution, env, call)
    if seed is None and _generator_of(env) is not generator:
        when = "step" if method == "step" else "reset() without a seed"
        raise WrongError(
            f"{when} seeds self.np_random again: only a reset with a seed does, if you pass the"
            " seed on as it is, super().reset(seed=seed)"
        )
    if _generator_of(env).bit_generator.state != unused:
        return
    seen = f"{method} samples nothing from self.np_random"
    if others:
        seen += f", but from {', '.join(others)}"
    elif generator.bit_generator.state != old:
        seen += " after seeding it: call super().reset(seed=seed) first"
    elif method == "reset":
        seen += ": the start is always the same"
    advice = "integers(...)" if method == "reset" else "random()"
    raise WrongError(f"{seen}. Use self.np_random.{advice}, which super().reset(seed=seed) seeds")


def _generator_of(env: Any) -> np.random.Generator:
    generator = env.np_random
    if not isinstance(generator, np.random.Generator):
        raise WrongError(
            f"self.np_random is a {type(generator).__name__}: leave it to super().reset(seed=seed)"
        )
    return generator


def changed_sources(solution: Solution, env: Any, call: Callable[[], Any]) -> list[str]:
    """Return the names of what a call samples from other than ``self.np_random``."""
    before = dict(_sources(solution, env))
    with mock.patch.object(np.random, "default_rng", wraps=np.random.default_rng) as made:
        call()
    after = dict(_sources(solution, env))
    changed = [name for name, state in after.items() if before.get(name) != state]
    if made.called:
        changed.append("np.random.default_rng(...)")
    return changed


def _sources(solution: Solution, env: Any) -> Iterator[tuple[str, bytes]]:
    """Yield generators of random numbers that a student may use, and their states."""
    yield "np.random", pickle.dumps(np.random.get_state(legacy=False))  # noqa: NPY002
    yield "random", pickle.dumps(random.getstate())
    yield "torch", torch.get_rng_state().numpy().tobytes()
    for name in ("action_space", "observation_space"):
        space = getattr(env, name, None)
        if isinstance(space, gym.Space):
            yield f"self.{name}.sample()", _state_of(space.np_random)
    own = {f"self.{name}": value for name, value in vars(env).items() if name != "_np_random"}
    shared = {f"Corridor.{name}": value for name, value in vars(type(env)).items()}
    for name, value in {**own, **shared, **vars(solution)}.items():
        kinds = (np.random.Generator, np.random.RandomState, random.Random)
        if isinstance(value, kinds) and value is not env.np_random:
            yield name, _state_of(value)


def _state_of(generator: Any) -> bytes:
    if isinstance(generator, random.Random):
        return pickle.dumps(generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return pickle.dumps(generator.get_state(legacy=False))
    return pickle.dumps(generator.bit_generator.state)
