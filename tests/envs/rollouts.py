"""Random rollouts of environments, and an exact comparison of what they return."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_atari_course._common.state_tree import pack, unpack


def roundtrip(tree: Any) -> Any:
    """Return plain data as another process would read it, with read-only arrays."""
    packed, arrays = pack(tree)
    arrays = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    return unpack(json.loads(json.dumps(packed)), arrays)


def play(env: gym.Env[Any, Any], n_steps: int, *, seed: int) -> tuple[list[Any], int]:
    """Return all that some random steps return, and the number of episodes that end."""
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    n_ends = 0
    for _ in range(n_steps):
        space = env.action_space
        if isinstance(space, gym.spaces.Discrete):
            action: Any = space.start + rng.integers(space.n)
        else:
            assert isinstance(space, gym.spaces.Box)
            low, high = np.clip(space.low, -3, 3), np.clip(space.high, -3, 3)  # some are infinite
            action = rng.uniform(low, high).astype(space.dtype)
        *step, info = env.step(action)
        seen.append([*step, {key: info[key] for key in info if key != "episode"}])
        if "episode" in info:
            seen.append([info["episode"]["r"], info["episode"]["l"]])
        if step[2] or step[3]:
            n_ends += 1
            seen.append(env.reset())
    return seen, n_ends


def same(a: Any, b: Any) -> bool:
    """Return whether two objects are equal, including types and dtypes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b))
    if isinstance(a, np.random.Generator):
        return same(a.bit_generator.state, b.bit_generator.state)
    return bool(a == b)
