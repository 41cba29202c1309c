"""What values a parameter may take, and what Optuna hears of them."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, Trial

from sb3_atari_course.tuning.domains import Choices, Domain, Frozen, Range, parse_domain, rounded


def ask(seed: int = 0) -> Trial:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler).ask()


class TestParsing:
    @pytest.mark.parametrize(
        ("kind", "content", "domain"),
        [
            ("float", 0.5, Frozen(0.5)),
            ("int", 32, Frozen(32)),
            ("bool", False, Frozen(False)),
            ("word", "he", Frozen("he")),
            ("list", [84, 84], Frozen([84, 84])),
            ("list", None, Frozen(None)),
            ("list", [], Frozen([])),
            ("float", [0.9, 0.99], Choices((0.9, 0.99))),
            ("int", [64], Frozen(64)),
            ("bool", [True, False], Choices((True, False))),
            ("word", ["relu", "leaky_relu"], Choices(("relu", "leaky_relu"))),
            ("list", [[64, 64], [256]], Choices(([64, 64], [256]))),
            ("list", [None, [30, 195, 5, 155]], Choices((None, [30, 195, 5, 155]))),
            ("list", [None], Frozen(None)),
            ("int", {"low": 1, "high": 8}, Range(1, 8)),
            ("float", {"low": 0.1, "high": 1.0, "log": True}, Range(0.1, 1.0, log=True)),
            ("float", {"high": 1.0, "low": -1.0, "log": False}, Range(-1.0, 1.0)),
        ],
    )
    def test_what_a_space_file_says(self, kind: str, content: Any, domain: Domain) -> None:
        assert parse_domain("x", kind, content) == domain
        assert parse_domain("x", kind, domain.content()) == domain

    def test_small_numbers_that_yaml_takes_for_words(self) -> None:
        assert parse_domain("x", "float", "1e-5") == Frozen(0.00001)
        assert parse_domain("x", "float", ["1e-5", 0.1]) == Choices((0.00001, 0.1))
        assert parse_domain("x", "float", {"low": "1e-5", "high": "1e-3"}) == Range(0.00001, 0.001)
        assert parse_domain("x", "int", "1e3") == Frozen(1000)

    def test_numbers_get_the_type_of_the_parameter(self) -> None:
        for kind, wanted in (("float", float), ("int", int)):
            frozen = parse_domain("x", kind, 1)
            choices = parse_domain("x", kind, [1, 2.0])
            ends = parse_domain("x", kind, {"low": 1, "high": 2.0})
            assert isinstance(frozen, Frozen)
            assert isinstance(choices, Choices)
            assert isinstance(ends, Range)
            numbers = (frozen.value, *choices.values, ends.low, ends.high)
            assert [type(number) for number in numbers] == [wanted] * 5
            assert ends.is_int == (kind == "int")

    @pytest.mark.parametrize(
        ("kind", "content", "message"),
        [
            ("float", "much", "^x is a number, got 'much'"),
            ("float", True, "^x is a number, got True"),
            ("float", None, "^x is a number, got None"),
            ("float", float("nan"), "^x is a number, got nan"),
            ("float", [0.1, float("inf")], "^x is a number, got inf"),
            ("float", [[0.1]], r"^x is a number, got \[0.1\]"),
            ("int", 2.5, "^x is a whole number, got 2.5"),
            ("int", [1, False], "^x is a whole number, got False"),
            ("int", {"low": 1, "high": 2.5}, "^x is a whole number, got 2.5"),
            ("bool", 1, "^x is true or false, got 1"),
            ("bool", ["yes"], "^x is true or false, got 'yes'"),
            ("word", 3, "^x is a word, got 3"),
            ("word", [None], "^x is a word, got None"),
            ("list", 84, "^x is a list, got 84"),
            ("list", [[84, 84], 42], "^x is a list, got 42"),
            ("float", [], "^x: an empty list leaves nothing to choose from"),
            ("float", [1, 1.0], r"^x: a choice stands twice in \[1, 1.0\]"),
            ("list", [[1], None, [1]], "^x: a choice stands twice"),
            ("bool", {"low": 0, "high": 1}, "^x is no number and has no range: list its choices"),
            ("list", {"low": 1, "high": 2}, "^x is no number and has no range"),
            ("int", {"low": 1}, "^x: a range has the keys low, high and maybe log, got {'low': 1}"),
            ("int", {"low": 1, "high": 2, "step": 1}, "^x: a range has the keys low, high"),
            ("int", {"low": 1, "high": 2, "log": "no"}, "^x: log is true or false, got 'no'"),
            ("int", {"low": 2, "high": 2}, "^x: low < high, got {'low': 2"),
            ("float", {"low": 1.0, "high": 0.1}, "^x: low < high, got"),
            ("float", {"low": 0.0, "high": 1.0, "log": True}, "^x: 0 < low < high for a log"),
        ],
    )
    def test_what_is_no_domain(self, kind: str, content: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse_domain("x", kind, content)


class TestSuggesting:
    def test_a_frozen_value_is_not_told_to_optuna(self) -> None:
        trial = ask()
        assert Frozen([84, 84]).suggest(trial, "shape") == [84, 84]
        assert trial.params == {}
        assert Frozen(3).suggest(FixedTrial({}), "x") == 3

    @pytest.mark.parametrize(
        ("domain", "distribution"),
        [
            (Choices((16, 32)), CategoricalDistribution((16, 32))),
            (Choices((None, [1, 2])), CategoricalDistribution(("null", "[1, 2]"))),
            (Range(1, 8, log=True), IntDistribution(1, 8, log=True)),
            (Range(-1, 1), IntDistribution(-1, 1)),
            (Range(0.1, 1.0, log=True), FloatDistribution(0.1, 1.0, log=True)),
            (Range(-1.0, 1.0), FloatDistribution(-1.0, 1.0)),
        ],
    )
    def test_what_optuna_is_asked(self, domain: Domain, distribution: BaseDistribution) -> None:
        trial = ask()
        domain.suggest(trial, "x")
        assert trial.distributions == {"x": distribution}

    def test_all_choices_come_up_and_nothing_else(self) -> None:
        domain = Choices((None, [64, 64], [256]))
        seen = [domain.suggest(ask(seed), "x") for seed in range(30)]
        assert all(value in (None, [64, 64], [256]) for value in seen)
        assert {str(value) for value in seen} == {"None", "[64, 64]", "[256]"}

    def test_whole_numbers_reach_both_ends(self) -> None:
        seen = {Range(1, 3).suggest(ask(seed), "x") for seed in range(30)}
        assert seen == {1, 2, 3}
        assert {type(value) for value in seen} == {int}

    def test_what_optuna_stores_gives_the_value_back(self) -> None:
        assert Choices((None, [1, 2])).suggest(FixedTrial({"x": "null"}), "x") is None
        assert Choices((None, [1, 2])).suggest(FixedTrial({"x": "[1, 2]"}), "x") == [1, 2]
        assert Choices((True, False)).suggest(FixedTrial({"x": False}), "x") is False
        assert Range(1, 8).suggest(FixedTrial({"x": 5}), "x") == 5
        assert Range(0.0, 1.0).suggest(FixedTrial({"x": 0.123456}), "x") == 0.123

    def test_rounding_stays_inside_the_range(self) -> None:
        domain = Range(0.12346, 0.12354)
        assert domain.suggest(FixedTrial({"x": 0.12347}), "x") == 0.12346  # not 0.123
        domain = Range(0.98760, 0.98765)
        assert domain.suggest(FixedTrial({"x": 0.98761}), "x") == 0.98765  # not 0.988

    def test_a_suggested_number_has_three_digits(self) -> None:
        for seed in range(20):
            value = Range(0.0001, 0.01, log=True).suggest(ask(seed), "x")
            assert 0.0001 <= value <= 0.01
            assert len(f"{value:e}".partition("e")[0].rstrip("0")) <= len("1.23")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.000213499, 0.000213),
        (0.0099951, 0.01),
        (1234.5, 1230.0),
        (-0.45678, -0.457),
        (0.0, 0.0),
        (0.5, 0.5),
    ],
)
def test_three_significant_digits(value: float, expected: float) -> None:
    assert rounded(value) == expected


@pytest.mark.parametrize(
    ("domain", "value", "stored"),
    [
        (Choices((16, 32)), 32, 32),
        (Choices((16, 32)), 64, None),
        (Choices((0.5, 1.0)), 1, 1.0),
        (Choices((False, True)), False, False),
        (Choices((None, [1, 2])), None, "null"),
        (Choices(([3], [1, 2])), [1, 2], "[1, 2]"),
        (Choices(([3], [1, 2])), None, None),
        (Choices(("constant", "linear")), "visits", None),
        (Range(1, 8), 8, 8),
        (Range(1, 8), 9, None),
        (Range(1, 8), 2.5, None),
        (Range(0.1, 1.0), 0.1, 0.1),
        (Range(0.1, 1.0), 0.09, None),
        (Range(0.0, 1.0), True, None),
        (Range(0.0, 1.0), "lin_0.5", None),
        (Range(0.0, 1.0), None, None),
    ],
)
def test_what_optuna_calls_a_value(domain: Choices | Range, value: Any, stored: Any) -> None:
    assert domain.stored(value) == stored
    assert (domain.stored(value) is None) == (stored is None)
