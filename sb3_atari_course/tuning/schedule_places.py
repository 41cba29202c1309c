"""Where learning rates and epsilons stand in a yml: a number, and how it changes, in one word."""

from __future__ import annotations

from typing import Any

from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.tuning.places import Hyperparams

#: Stands for the number in ``learning_rate: visits``, which holds none.
_RATE_BESIDE_VISITS = 0.1

#: Epsilon of ``exploration`` by episodes, where the yml says nothing: seed 002's, slower.
_BY_EPISODES = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}


class Rate:
    """The number in ``learning_rate``: 0.001, or that of ``lin_0.001``."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the number."""
        return _number_in(hyperparams, "learning_rate")

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change the number and leave the schedule; one over the visits needs none."""
        word = _schedule_of(hyperparams.get("learning_rate"))
        if word != VISITS:
            hyperparams["learning_rate"] = _scheduled(word, value)


class RateSchedule:
    """The word in ``learning_rate``: constant, linear (``lin_...``) or visits."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the word."""
        return _schedule_of(hyperparams.get("learning_rate"))

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change the word and leave the number."""
        number = _number_in(hyperparams, "learning_rate")
        hyperparams["learning_rate"] = VISITS if value == VISITS else _scheduled(value, number)


class EpsilonSchedule:
    """The kind of a table's ``exploration``: constant, linear (``lin_...``) or by episodes."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the word."""
        given = hyperparams.get("exploration")
        return "episodes" if isinstance(given, dict) else _schedule_of(given)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change the kind and leave the first epsilon."""
        given = hyperparams.get("exploration")
        first = InitialEpsilon().read(hyperparams)
        if value == "episodes":
            numbers = given if isinstance(given, dict) else {"initial_eps": first}
            hyperparams["exploration"] = {**_BY_EPISODES, **numbers}
        else:
            hyperparams["exploration"] = _scheduled(value, first)


class InitialEpsilon:
    """The epsilon with which a table's ``exploration`` begins."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the number."""
        given = hyperparams.get("exploration")
        if isinstance(given, dict):
            return given.get("initial_eps", _BY_EPISODES["initial_eps"])
        return _number_in(hyperparams, "exploration")

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change the number and leave the kind."""
        given = hyperparams.get("exploration")
        if isinstance(given, dict):
            given["initial_eps"] = value
        else:
            hyperparams["exploration"] = _scheduled(_schedule_of(given), value)


def by_episodes(hyperparams: Hyperparams) -> dict[str, Any]:
    """Return the mapping of an ``exploration`` by episodes.

    :raises ValueError: if it is of another kind.
    """
    found = hyperparams.get("exploration")
    if not isinstance(found, dict):
        raise ValueError("needs an exploration by episodes (exploration_schedule: episodes)")
    return found


def _schedule_of(given: Any) -> str:
    if given == VISITS:
        return VISITS
    return "linear" if isinstance(given, str) else "constant"


def _number_in(hyperparams: Hyperparams, key: str) -> float:
    """Return the number in ``0.001`` or ``lin_0.001``."""
    given = hyperparams.get(key)
    if given == VISITS:
        return _RATE_BESIDE_VISITS
    if isinstance(given, str):
        lin, _, text = given.partition("_")
        given = text if lin == "lin" else None
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(
            f"needs {key} in the yml, a number (0.0001, not 1e-4, which YAML takes for a word) or"
            f" lin_ with a number, got {hyperparams.get(key)!r}"
        ) from None


def _scheduled(word: str, number: float) -> float | str:
    return f"lin_{number:.10g}" if word == "linear" else number
