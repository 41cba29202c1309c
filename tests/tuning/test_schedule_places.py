"""Learning rates and epsilons: the number and the word that tells how it changes."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_atari_course.tuning.places import At
from sb3_atari_course.tuning.schedule_places import (
    EpsilonSchedule,
    InitialEpsilon,
    Rate,
    RateSchedule,
    by_episodes,
)
from tests.tuning.studies import write

FIRST, DECAY = InitialEpsilon(), At(by_episodes, "decay")
RATE, RATE_SCHEDULE, EPSILON = Rate(), RateSchedule(), EpsilonSchedule()
NUMBERS = {"initial_eps": 0.5, "final_eps": 0.1, "decay": 0.0005}
BY_EPISODES = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}


@pytest.mark.parametrize(
    ("given", "word", "number", "with_a_half"),
    [
        (0.001, "constant", 0.001, 0.5),
        ("lin_0.001", "linear", 0.001, "lin_0.5"),
        ("lin_1e-05", "linear", 0.00001, "lin_0.5"),
        (1, "constant", 1.0, 0.5),
        ("visits", "visits", 0.1, "visits"),
    ],
)
def test_learning_rates(given: Any, word: str, number: float, with_a_half: Any) -> None:
    entry = {"learning_rate": given}
    assert (RATE_SCHEDULE.read(entry), RATE.read(entry)) == (word, number)
    assert write(RATE, entry, 0.5) == {"learning_rate": with_a_half}
    assert write(RATE_SCHEDULE, entry, "constant") == {"learning_rate": number}
    assert write(RATE_SCHEDULE, entry, "linear") == {"learning_rate": f"lin_{number:g}"}
    assert write(RATE_SCHEDULE, entry, "visits") == {"learning_rate": "visits"}


@pytest.mark.parametrize(
    ("given", "word", "first", "with_a_fifth", "falling"),
    [
        (0.0, "constant", 0.0, 0.2, {**BY_EPISODES, "initial_eps": 0.0}),
        ("lin_0.3", "linear", 0.3, "lin_0.2", {**BY_EPISODES, "initial_eps": 0.3}),
        (NUMBERS, "episodes", 0.5, {**NUMBERS, "initial_eps": 0.2}, NUMBERS),
        ({}, "episodes", 1.0, {"initial_eps": 0.2}, BY_EPISODES),
    ],
)
def test_exploration_of_a_table(
    given: Any, word: str, first: float, with_a_fifth: Any, falling: Any
) -> None:
    entry = {"exploration": given}
    assert (EPSILON.read(entry), FIRST.read(entry)) == (word, first)
    assert write(FIRST, entry, 0.2) == {"exploration": with_a_fifth}
    assert write(EPSILON, entry, "constant") == {"exploration": first}
    assert write(EPSILON, entry, "linear") == {"exploration": f"lin_{first:g}"}
    assert write(EPSILON, entry, "episodes") == {"exploration": falling}


def test_numbers_of_an_exploration_by_episodes() -> None:
    assert (DECAY.read({"exploration": NUMBERS}), DECAY.read({"exploration": {}})) == (0.0005, None)
    assert write(DECAY, {"exploration": {}}, 0.1) == {"exploration": {"decay": 0.1}}


@pytest.mark.parametrize("given", [None, "1e-4", "lin_", "visit"])
def test_what_is_no_number_is_said(given: Any) -> None:
    with pytest.raises(ValueError, match=r"needs learning_rate in the yml, a number \(0.0001, not"):
        RATE.read({"learning_rate": given})
    with pytest.raises(ValueError, match="needs exploration in the yml"):
        EPSILON.write({"exploration": given}, "linear")


def test_no_digit_is_lost() -> None:
    assert write(RATE_SCHEDULE, {"learning_rate": 0.123456789}, "linear") == {
        "learning_rate": "lin_0.123456789"
    }
