"""Random streams as plain data: where each of them stands."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch as th

from sb3_atari_course._common.state_tree import Tree


def read_generator(generator: np.random.Generator) -> Tree:
    """Return where a generator stands."""
    return dict(generator.bit_generator.state)


def write_generator(generator: np.random.Generator, state: Tree) -> None:
    """Let a generator go on from there; it stays the same object, whoever else holds it.

    :raises ValueError: if the state is one of another kind of generator.
    """
    generator.bit_generator.state = state


def read_global_streams() -> Tree:
    """Return where the streams stand that all code of a process shares."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # SB3 draws from it
        "torch": th.get_rng_state(),
        "cuda": th.cuda.get_rng_state_all() if th.cuda.is_available() else [],
    }


def write_global_streams(state: dict[str, Any]) -> None:
    """Let these streams go on from there; those of cards that are not here are left out."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    th.set_rng_state(state["torch"])
    for i, stream in enumerate(state["cuda"][: th.cuda.device_count()]):
        th.cuda.set_rng_state(stream, i)
