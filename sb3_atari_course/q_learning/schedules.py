"""Schedules of epsilon (exploration rate) and of the learning rate for tabular Q-learning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stable_baselines3.common.type_aliases import Schedule

from sb3_atari_course._common.validation import finite_number, probability

#: Learning rate of 1 / (number of visits of the state-action pair).
VISITS = "visits"


@dataclass(frozen=True)
class EpisodeDecay:
    """Exponential epsilon decay by episode: ``final + (initial - final) * exp(-decay * episode)``.

    >>> EpisodeDecay(initial_eps=1.0, final_eps=0.001, decay=0.01)(0)
    1.0

    :param initial_eps: epsilon of the first episode, 0 to 1.
    :param final_eps: limit of epsilon, 0 to 1.
    :param decay: decay rate per episode, at least 0; with 0.01, epsilon has covered 63 % of the
        way to ``final_eps`` after 100 episodes.
    :raises ValueError: for a number out of range.
    :raises TypeError: for a value that is not a number.
    """

    initial_eps: float = 1.0
    final_eps: float = 0.001
    decay: float = 0.01

    def __post_init__(self) -> None:
        probability("initial_eps", self.initial_eps)
        probability("final_eps", self.final_eps)
        if finite_number("decay", self.decay) < 0:
            raise ValueError(f"decay (per episode) must be at least 0, got {self.decay!r}")

    def __call__(self, episode: int) -> float:
        """Return epsilon of an episode.

        :param episode: number of episodes finished before, of all environments.
        """
        return self.final_eps + (self.initial_eps - self.final_eps) * math.exp(
            -self.decay * episode
        )


#: Type of ``QLearning(exploration=...)``: a constant, an SB3 schedule (a function of
#: ``progress_remaining``, 1 to 0), an :class:`EpisodeDecay`, or a mapping of its arguments (yml).
Exploration = float | Schedule | EpisodeDecay | Mapping[str, float]


def as_exploration(exploration: Exploration) -> float | Schedule | EpisodeDecay:
    """Convert a mapping to an :class:`EpisodeDecay`; return anything else unchanged.

    :raises TypeError: for an unknown key.
    """
    return EpisodeDecay(**exploration) if isinstance(exploration, Mapping) else exploration


def epsilon_at(
    exploration: float | Schedule | EpisodeDecay, episode: int, progress_remaining: float
) -> float:
    """Return the current epsilon.

    :param exploration: a constant, an SB3 schedule or an :class:`EpisodeDecay`.
    :param episode: number of episodes finished before, of all environments.
    :param progress_remaining: 1 at the start of training, 0 at its end.
    :raises ValueError: for an epsilon outside [0, 1].
    :raises TypeError: if it is not a number, schedule or decay.
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
    """Return the current learning rate; None means 1 / (number of visits).

    :param learning_rate: a number in (0, 1], an SB3 schedule of such numbers, or ``"visits"``.
    :param progress_remaining: 1 at the start of training, 0 at its end.
    :raises ValueError: for a number outside (0, 1], and for another string.
    :raises TypeError: if it is not a number, schedule or string.
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
