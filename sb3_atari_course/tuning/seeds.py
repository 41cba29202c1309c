"""Seeds that depend on the study's seed and the trial's number, and on nothing else."""

from __future__ import annotations

import numpy as np

#: What a seed is for: equal numbers for two purposes would tie them together.
SAMPLING, TRAINING, GAMES = 0, 1, 2


def seed_for(purpose: int, study_seed: int, number: int = 0, repeat: int = 0) -> int:
    """Return a seed, 0 to 2**31 - 1.

    :param purpose: :data:`SAMPLING`, :data:`TRAINING` or :data:`GAMES`.
    :param study_seed: at least 0.
    :param number: of the trial; 0 for what all trials share.
    :param repeat: of a trial that trains several times.
    """
    return int(
        np.random.SeedSequence([purpose, study_seed, number, repeat]).generate_state(1)[0] >> 1
    )
