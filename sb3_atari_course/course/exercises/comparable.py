"""Exercise of lesson 5, ``comparable``: which scores may be compared, and how sure one can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError

#: Fields of a score, and an example.
_EXAMPLE: dict[str, Any] = {
    "agent": "late",
    "game": "Breakout",
    "full_games": True,
    "clipped": False,
    "epsilon": 0.05,
    "sticky_actions": 0.25,
    "noop_max": 30,
    "max_frames": 108_000,
    "n_games": 30,
    "chosen_on_these": False,
    "mean": 42.5,
    "std": 15.0,
}

#: Field of the protocol -> pairs of different values; what is falsy comes in both places.
_DIFFERENT: dict[str, tuple[tuple[Any, Any], ...]] = {
    "game": (("Breakout", "Pong"), ("Breakout", "SuperBreakout")),
    "full_games": ((True, False), (False, True)),
    "clipped": ((False, True), (True, False)),
    "epsilon": ((0.05, 0.0), (0.0, 0.01), (0.05, 0.06)),
    "sticky_actions": ((0.25, 0.0), (0.0, 0.25), (0.25, 0.2)),
    "noop_max": ((30, 0), (0, 1), (30, 29)),
    "max_frames": ((108_000, 18_000), (18_000, 108_000), (108_000, 108_001)),
}

#: Field that is not part of the protocol -> values that may differ, and why.
_FREE: dict[str, tuple[tuple[Any, ...], str]] = {
    "agent": (("early", ""), "which agent played is what one compares"),
    "n_games": ((1, 29, 1000), "more games make a mean more precise, neither higher nor lower"),
    "mean": ((0.0, -3.5, 400.0), "the scores themselves do not matter for that"),
    "std": ((0.0, 99.0), "the scatter of the scores does not matter for that"),
}


def _score(solution: Solution, **fields: Any) -> Any:
    """Return a score of the student's class; the fields that are given differ from the example."""
    values = {**_EXAMPLE, **fields}
    values["game"] = "".join(values["game"])  # equal, but another object
    values["max_frames"] = int(str(values["max_frames"]))
    try:
        return solution.Score(**values)
    except TypeError as error:
        raise WrongError(
            f"Score must keep the fields of the lesson, {', '.join(_EXAMPLE)}: {error}"
        ) from None


def _answer(solution: Solution, first: Any, second: Any) -> bool:
    """Call ``comparable``; return its answer."""
    answer = solution.comparable(first, second)
    if answer is None:
        raise WrongError("comparable returns None: is its return missing?")
    if not isinstance(answer, (bool, np.bool_, int)):
        raise WrongError(f"comparable returns True or False, got {answer!r}")
    return bool(answer)


def equal_protocols_are_comparable(solution: Solution) -> None:
    """Scores of one protocol may be compared."""
    for fields in (
        {},
        {"epsilon": 0.0, "sticky_actions": 0.0, "noop_max": 0},
        {"game": "Pong", "full_games": False, "clipped": True, "max_frames": 18_000},
    ):
        first, second = (_score(solution, **fields) for _ in range(2))
        if not _answer(solution, first, second):
            protocol = {name: getattr(first, name) for name in _DIFFERENT}
            raise WrongError(
                f"two scores with the same protocol, {protocol}, chosen_on_these False, may be"
                " compared: is == meant where `is` or the truth of a value is used? 0 and False are"
                " values like others"
            )


def other_fields_do_not_matter(solution: Solution) -> None:
    """Agent, number of games, mean and SD may differ."""
    for name, (values, reason) in _FREE.items():
        for value in values:
            pair = (_score(solution), _score(solution, **{name: value}))
            for first, second in (pair, pair[::-1]):
                if not _answer(solution, first, second):
                    raise WrongError(
                        f"scores that differ in {name} alone ({getattr(first, name)!r} and"
                        f" {getattr(second, name)!r}) may be compared: {reason}"
                    )


def chosen_scores_are_not_comparable(solution: Solution) -> None:
    """A score of the games on which the agent was chosen is comparable with none."""
    for flags in ((True, False), (False, True), (True, True)):
        first, second = (_score(solution, chosen_on_these=flag) for flag in flags)
        if _answer(solution, first, second):
            cause = "look at both" if not all(flags) else "equal flags do not make it better"
            raise WrongError(
                f"chosen_on_these is {flags[0]} for the first and {flags[1]} for the second score:"
                " the best of several is too high by luck, so that they may not be compared:"
                f" {cause}"
            )


def each_field_counts(solution: Solution) -> None:
    """Scores that differ in one field of the protocol may not be compared."""
    for name, pairs in _DIFFERENT.items():
        for pair in pairs:
            first, second = (_score(solution, **{name: value}) for value in pair)
            if _answer(solution, first, second):
                values = f"{pair[0]!r} and {pair[1]!r}"
                reverse = _answer(solution, second, first)
                cause = (
                    "is this field compared, by ==, and must all fields be equal?"
                    if reverse
                    else "the other way round they may not: compare by =="
                )
                raise WrongError(
                    f"scores that differ in {name} alone ({values}) were called comparable: {cause}"
                )


def _difference(solution: Solution, first: Any, second: Any) -> tuple[float, float]:
    """Call ``difference``; return the difference and its standard error."""
    result = solution.difference(first, second)
    if result is None:
        raise WrongError(
            "difference returns None for two scores that may be compared: is its return missing?"
        )
    try:
        difference, error = (float(one) for one in result)
    except (TypeError, ValueError):
        raise WrongError(
            "difference returns two numbers, the difference and its standard error, got"
            f" {str(result)[:80]}"
        ) from None
    return difference, error


#: (mean, std, n_games) of two scores.
_PAIRS = (
    ((52.5, 17.5, 30), (42.0, 14.0, 20)),
    ((-150.0, 80.0, 100), (-140.0, 0.0, 10)),
    ((3.0, 2.0, 16), (0.0, 3.0, 9)),
)


def differences_are_first_minus_second(solution: Solution) -> None:
    """The difference is the first mean minus the second."""
    for pair in _PAIRS:
        first, second = _two(solution, pair)
        seen, error = _difference(solution, first, second)
        if not math.isclose(seen, first.mean - second.mean, abs_tol=1e-6):
            cause = ""
            if math.isclose(seen, abs(first.mean - second.mean), abs_tol=1e-6):
                cause = ": its sign is lost, without abs one sees which is better"
            elif math.isclose(seen, second.mean - first.mean, abs_tol=1e-6):
                cause = ": it is the second minus the first"
            elif math.isclose(error, first.mean - second.mean, abs_tol=1e-6):
                cause = ": the difference comes first, then its standard error"
            raise WrongError(
                f"means {first.mean:g} and {second.mean:g}: the difference is"
                f" {first.mean - second.mean:g}, got {seen:g}{cause}"
            )


def _two(solution: Solution, pair: Any) -> Any:
    """Return two scores with these (mean, std, n_games)."""
    names = ("mean", "std", "n_games")
    return (_score(solution, **dict(zip(names, numbers, strict=True))) for numbers in pair)


def _wrong_errors(first: Any, second: Any) -> dict[str, float]:
    """Return standard errors by typical mistakes: cause -> value."""
    a, b, n, m = first.std, second.std, first.n_games, second.n_games
    return {
        "the standard errors are added: the root of the sum of their squares is smaller": (
            a / n**0.5 + b / m**0.5
        ),
        "std is divided by n_games: the standard error of a mean is std / sqrt(n_games)": (
            math.hypot(a / n, b / m)
        ),
        "std is that of single games: divide by sqrt(n_games) for that of the mean": (
            math.hypot(a, b)
        ),
        "std is divided by n_games, not by its root, and not squared": a / n + b / m,
        "the root of the sum is missing: this is its square": a**2 / n + b**2 / m,
        "std is not squared before it is divided by n_games": math.sqrt(a / n + b / m),
        "the numbers of games are exchanged": math.hypot(a / m**0.5, b / n**0.5),
        "both are divided by the games of the first": math.hypot(a, b) / n**0.5,
        "both are divided by the games of the second": math.hypot(a, b) / m**0.5,
        "both are divided by the number of all games": math.hypot(a, b) / (n + m) ** 0.5,
        "the squares are subtracted: uncertainties add up": math.sqrt(abs(a**2 / n - b**2 / m)),
        "the standard errors are subtracted: uncertainties add up": a / n**0.5 - b / m**0.5,
        "that is the standard error of the first score alone": a / n**0.5,
        "that is the standard error of the second score alone": b / m**0.5,
        "that is twice the standard error": 2 * math.hypot(a / n**0.5, b / m**0.5),
        "that is 1.96 standard errors, half of a 95 % interval": (
            1.96 * math.hypot(a / n**0.5, b / m**0.5)
        ),
    }


def errors_of_means_are_combined(solution: Solution) -> None:
    """The standard error is the root of the sum of both squared standard errors."""
    for pair in _PAIRS:
        first, second = _two(solution, pair)
        _, seen = _difference(solution, first, second)
        right = math.hypot(first.std / first.n_games**0.5, second.std / second.n_games**0.5)
        by_n_minus_1 = math.hypot(
            first.std / (first.n_games - 1) ** 0.5, second.std / (second.n_games - 1) ** 0.5
        )  # for those who take std as that of the sample, with divisor n
        if any(math.isclose(seen, one, rel_tol=1e-4) for one in (right, by_n_minus_1)):
            continue
        causes = (
            cause
            for cause, value in _wrong_errors(first, second).items()
            if math.isclose(seen, value, rel_tol=1e-4)
        )
        cause = next(causes, "")
        raise WrongError(
            f"SDs {first.std:g} and {second.std:g} of {first.n_games} and {second.n_games} games:"
            f" the standard error of the difference is {right:.4g}, got {seen:.4g}"
            f"{': ' if cause else ''}{cause}"
        )


def no_difference_without_comparison(solution: Solution) -> None:
    """Scores that may not be compared have no difference, but None."""
    for fields in ({"clipped": True}, {"game": "Pong"}, {"chosen_on_these": True}):
        first, second = _score(solution), _score(solution, **fields, mean=40.0)
        result = solution.difference(first, second)
        if result is not None:
            raise WrongError(
                f"the second score has {fields}: they may not be compared, so that difference"
                f" returns None, got {str(result)[:80]}"
            )


COMPARABLE = Exercise(
    functions=("comparable", "difference"),
    given=("Score",),
    properties=(
        equal_protocols_are_comparable,
        other_fields_do_not_matter,
        each_field_counts,
        chosen_scores_are_not_comparable,
        differences_are_first_minus_second,
        errors_of_means_are_combined,
        no_difference_without_comparison,
    ),
)
