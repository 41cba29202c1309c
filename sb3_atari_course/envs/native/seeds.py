"""Seeds of the games, as ale-py takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.validation import integer_at_least

#: ale-py's seeds are int32 from 0; RL Zoo's reach 2**32.
N_SEEDS = 2**31


def first_seed(seed: int | None) -> int:
    """Return the seed of the first game, a random one for None.

    :raises TypeError: if it is no integer.
    :raises ValueError: if it is negative.
    """
    if seed is None:
        return int(np.random.default_rng().integers(N_SEEDS))
    return integer_at_least(0, "seed", seed)


def emulator_seeds(seeds: Sequence[int | None]) -> NDArray[np.int32]:
    """Return seeds that ale-py can take, (n,); -1 for None: go on with the random numbers."""
    return np.array([-1 if seed is None else int(seed) % N_SEEDS for seed in seeds], np.int32)
