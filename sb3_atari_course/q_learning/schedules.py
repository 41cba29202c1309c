"""Schedules of epsilon, the share of random actions, and of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from stable_baselines3.common.type_aliases import Schedule

from sb3_atari_course._common.validation import finite_number

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
        check_epsilon(self.initial_eps, "initial_eps")
        check_epsilon(self.final_eps, "final_eps")
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


class EpsilonSchedule:
    """Epsilon of any moment, whichever way it was given.

    :param exploration: see :data:`Exploration`.
    :raises ValueError: for a constant outside 0 to 1, for an unknown key of a mapping.
    :raises TypeError: for anything else.
    """

    def __init__(self, exploration: Exploration) -> None:
        if isinstance(exploration, Mapping):
            if not set(exploration) <= {"initial_eps", "final_eps", "decay"}:
                raise ValueError(
                    "exploration as a mapping has the keys initial_eps, final_eps and decay,"
                    f" got {exploration!r}"
                )
            exploration = EpisodeDecay(**exploration)
        elif isinstance(exploration, bool) or not (
            isinstance(exploration, Real) or callable(exploration)
        ):
            raise TypeError(
                "exploration is a number, a schedule (a function of the progress that remains) or"
                f" an EpisodeDecay, got {exploration!r}"
            )
        elif not callable(exploration):
            check_epsilon(exploration, "exploration")
        self._exploration = exploration
        self(0, 1.0)  # a schedule that begins out of range is refused here, not while training

    def __call__(self, episode: int, progress_remaining: float) -> float:
        """Return epsilon.

        :param episode: how many episodes were finished before, in all environments.
        :param progress_remaining: 1 at the beginning of the training, 0 at its end.
        :raises ValueError: if a schedule leaves 0 to 1.
        """
        exploration = self._exploration
        if isinstance(exploration, EpisodeDecay):
            return exploration(episode)
        if not callable(exploration):
            return exploration
        epsilon = float(exploration(progress_remaining))
        check_epsilon(epsilon, f"exploration at progress_remaining {progress_remaining:g}")
        return epsilon


@dataclass(frozen=True)
class ConstantRate:
    """The same learning rate for every cell of the table.

    :param value: in (0, 1].
    """

    value: float

    def __call__(self, n_visits: int) -> float:
        """Return the learning rate of a cell."""
        return self.value


class VisitRate:
    """The learning rate ``"visits"``, 1 / (visits of the cell): a mean of all its targets."""

    def __call__(self, n_visits: int) -> float:
        """Return the learning rate of a cell that is visited for the ``n_visits``-th time."""
        return 1.0 / n_visits


class LearningRate:
    """The learning rate of any moment, whichever way it was given.

    :param learning_rate: a number in (0, 1], an SB3 schedule of such numbers, or ``"visits"``.
    :raises ValueError: for another string.
    :raises TypeError: for anything else.
    """

    def __init__(self, learning_rate: float | Schedule | str) -> None:
        expected = 'learning_rate is a number in (0, 1], a schedule of such numbers, or "visits"'
        is_number = isinstance(learning_rate, Real) and not isinstance(learning_rate, bool)
        if not (is_number or isinstance(learning_rate, str) or callable(learning_rate)):
            raise TypeError(f"{expected}, got {learning_rate!r}")
        if isinstance(learning_rate, str) and learning_rate != VISITS:
            raise ValueError(f"{expected}, got {learning_rate!r}")
        self._rate = learning_rate

    def __call__(self, progress_remaining: float) -> ConstantRate | VisitRate:
        """Return the learning rate by the visits of a cell.

        :param progress_remaining: 1 at the beginning of the training, 0 at its end.
        :raises ValueError: if it lies outside (0, 1].
        """
        rate, when = self._rate, ""
        if isinstance(rate, str):
            return VisitRate()
        if callable(rate):
            rate, when = rate(progress_remaining), f" at progress_remaining {progress_remaining:g}"
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"learning_rate must lie in (0, 1], got {rate!r}{when}")
        return ConstantRate(rate)


def check_epsilon(value: float, name: str) -> None:
    """Refuse what is no probability."""
    finite_number(name, value)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a probability, 0 to 1, got {value!r}")
