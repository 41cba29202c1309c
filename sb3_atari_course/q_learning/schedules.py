"""Schedules of epsilon, the share of random actions, and of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stable_baselines3.common.type_aliases import Schedule

from sb3_atari_course._common.validation import finite_number, probability

#: The learning rate 1 / (visits of the cell).
VISITS = "visits"


@dataclass(frozen=True)
class EpisodeDecay:
    """Epsilon that decays with each episode: ``final + (initial - final) * exp(-decay * episode)``.

    >>> EpisodeDecay(initial_eps=1.0, final_eps=0.001, decay=0.01)(0)
    1.0

    :param initial_eps: epsilon of the first episode, 0 to 1.
    :param final_eps: what it tends to, 0 to 1.
    :param decay: per episode, at least 0; 0.01 leaves 37 % of the way after 100 episodes.
    :raises ValueError: for a number out of range.
    """

    initial_eps: float = 1.0
    final_eps: float = 0.001
    decay: float = 0.01

    def __post_init__(self) -> None:
        probability("initial_eps", self.initial_eps)
        probability("final_eps", self.final_eps)
        if finite_number("decay", self.decay) < 0:
            raise ValueError(f"decay is a rate per episode, at least 0, got {self.decay!r}")

    def __call__(self, episode: int) -> float:
        """Return epsilon during an episode.

        :param episode: how many episodes were finished before.
        """
        return self.final_eps + (self.initial_eps - self.final_eps) * math.exp(
            -self.decay * episode
        )


#: What ``QLearning(exploration=...)`` takes: a constant, an SB3 schedule (a function of the
#: progress that remains, 1 to 0), or a decay by episode, as the mapping of its numbers in a yml.
Exploration = float | Schedule | EpisodeDecay | Mapping[str, float]


def as_exploration(exploration: Exploration) -> float | Schedule | EpisodeDecay:
    """Return the decay that a mapping stands for, anything else as it is.

    :raises TypeError: for an unknown key.
    """
    return EpisodeDecay(**exploration) if isinstance(exploration, Mapping) else exploration


def epsilon_at(
    exploration: float | Schedule | EpisodeDecay, episode: int, progress_remaining: float
) -> float:
    """Return epsilon of one moment.

    :param episode: how many episodes were finished before, in all environments.
    :param progress_remaining: 1 at the beginning of the training, 0 at its end.
    :raises ValueError: outside 0 to 1.
    :raises TypeError: for what is no number, schedule or decay.
    """
    if isinstance(exploration, EpisodeDecay):
        return exploration(episode)
    if not callable(exploration):
        return probability("exploration", exploration)
    name = f"exploration at progress_remaining {progress_remaining:g}"
    return probability(name, exploration(progress_remaining))


def learning_rate_at(
    learning_rate: float | Schedule | str, progress_remaining: float
) -> float | None:
    """Return the learning rate of one moment; None: 1 / (visits of the cell).

    :param learning_rate: a number in (0, 1], an SB3 schedule of such numbers, or ``"visits"``.
    :param progress_remaining: 1 at the beginning of the training, 0 at its end.
    :raises ValueError: outside (0, 1], and for another string.
    :raises TypeError: for anything else.
    """
    if learning_rate == VISITS:
        return None
    when = ""
    if callable(learning_rate):
        when = f" at progress_remaining {progress_remaining:g}"
        learning_rate = learning_rate(progress_remaining)
    if isinstance(learning_rate, str):
        raise ValueError(f"learning_rate must be a number or {VISITS!r}, got {learning_rate!r}")
    rate = finite_number("learning_rate", learning_rate)
    if not 0.0 < rate <= 1.0:
        raise ValueError(f"learning_rate must lie in (0, 1], got {learning_rate!r}{when}")
    return rate
