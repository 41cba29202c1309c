"""What an emulator's random stream has in store: the frames in which an action will stick."""

from __future__ import annotations

import re

import numpy as np

#: A std::mt19937 as C++ writes it: 624 words and a position.
_STREAM = re.compile(rb"(?:\d+ ){624}")


def stuck_frames(state: bytes, stickiness: float) -> int:
    """Return how many of the next frames play the sticky action, whatever is asked.

    In each frame ALE draws a number from [0, 1) and takes the new action if the number is at least
    ``stickiness`` (``StellaEnvironment::act``).

    :param state: of ``cloneState(include_rng=True)``, serialised.
    :param stickiness: ``repeat_action_probability``, below 1.
    """
    stream = _read_stream(state)
    n_frames = 0
    while _draw(stream) < stickiness:
        n_frames += 1
    return n_frames


def _read_stream(state: bytes) -> np.random.MT19937:
    """Return the random stream of the environment: the last one in the state.

    It is a text behind its length (32 bits, little-endian), since the bytes that follow it could be
    digits too.
    """
    start = [match.start() for match in _STREAM.finditer(state)][-1]
    length = int.from_bytes(state[start - 4 : start], "little")
    *words, position = map(int, state[start : start + length].split())
    stream = np.random.MT19937()
    stream.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(words, np.uint32), "pos": position},
    }
    return stream


def _draw(stream: np.random.MT19937) -> float:
    """Return the number that decides about one frame; the second decides about a second player."""
    mine, _ = stream.random_raw(2).tolist()
    return float(mine) / 2.0**32
