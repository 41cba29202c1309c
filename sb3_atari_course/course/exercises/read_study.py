"""Exercise of lesson 6, ``read_study``: trials of an Optuna study, edges of its search space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import FrozenTrial, TrialState
except ImportError:
    raise ImportError(
        'read_study needs Optuna of the extra "course": pip install "sb3_atari_course[course]"'
    ) from None

#: state, value (of a pruned trial: its last score), best score on the way
_Trial = tuple[TrialState, float | None, float]

_COMPLETE, _PRUNED, _FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
_RUNNING, _WAITING = TrialState.RUNNING, TrialState.WAITING

#: Scores below 0; the best complete trial is neither the first nor the last, nor best on the way.
_TRIALS: tuple[_Trial, ...] = (
    (_FAIL, None, -1.0),
    (_COMPLETE, -150.0, -140.0),
    (_PRUNED, -120.0, -90.0),
    (_COMPLETE, -130.0, -128.0),
    (_FAIL, None, -2.0),
    (_COMPLETE, -160.0, -100.0),
    (_PRUNED, -110.0, -105.0),
    (_FAIL, None, -3.0),
    (_RUNNING, None, -50.0),
    (_COMPLETE, -170.0, -168.0),
    (_WAITING, None, 0.0),
    (_WAITING, None, 0.0),
    (_FAIL, None, -4.0),
    (_RUNNING, None, -40.0),
    (_PRUNED, -180.0, -175.0),
    (_FAIL, None, -5.0),
    (_COMPLETE, -155.0, -151.0),
)
_WITHOUT_COMPLETE = tuple(trial for trial in _TRIALS if trial[0] is not _COMPLETE)
_OTHER: tuple[_Trial, ...] = (
    (_COMPLETE, 0.0, 12.0),
    (_COMPLETE, 20.0, 20.0),
    (_PRUNED, 3.0, 30.0),
    (_COMPLETE, 9.5, 40.0),
)


def _study(trials: Sequence[_Trial]) -> optuna.Study:
    """Return a study in RAM that maximizes, as ours do, with these trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for state, value, on_the_way in trials:
        scores = {} if state is _WAITING else {1: on_the_way, 2: value or on_the_way - 1}
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params={"gamma": 0.9},
                distributions={"gamma": FloatDistribution(0.8, 1.0)},
                intermediate_values=scores,
            )
        )
    return study


def trials_are_counted_by_state(solution: Solution) -> None:
    """count_trials returns how many trials are complete, pruned and failed."""
    for trials in (_TRIALS, _OTHER, (), _WITHOUT_COMPLETE):
        states = [state for state, *_ in trials]
        right = tuple(states.count(state) for state in (_COMPLETE, _PRUNED, _FAIL))
        counts = solution.count_trials(_study(trials))
        if counts is None:
            raise WrongError("count_trials returns None: is its return missing?")
        try:
            seen = tuple(int(count) for count in counts)
        except (TypeError, ValueError):
            seen = ()
        if len(seen) != 3 or isinstance(counts, (Mapping, str)):
            raise WrongError(
                f"count_trials returns three numbers, (complete, pruned, failed), got {counts!r}"
            )
        if seen != right:
            raise WrongError(
                f"a study with {states.count(_COMPLETE)} complete, {states.count(_PRUNED)} pruned,"
                f" {states.count(_FAIL)} failed, {states.count(_RUNNING)} running and"
                f" {states.count(_WAITING)} waiting trials: {right} expected, got {seen}"
                f"{_cause_of_counts(seen, states, right)}"
            )


def _cause_of_counts(
    seen: tuple[int, ...], states: list[TrialState], right: tuple[int, ...]
) -> str:
    """Return why the counts of trials are wrong, if it is known."""
    n_open = states.count(_RUNNING) + states.count(_WAITING)
    if not any(seen):
        return ": compare a state with optuna.trial.TrialState.COMPLETE (or .state.name with text)"
    if sorted(seen) == sorted(right):
        return ": the order is (complete, pruned, failed)"
    if seen[0] == right[0] + right[1]:
        return ": a pruned trial has a value, too, but it is not complete"
    if seen[0] == len(states):
        return ": all trials are counted as complete"
    if n_open and sum(seen) > sum(right):
        return ": running and waiting trials are none of the three"
    return ""


def _best(solution: Solution, study: optuna.Study) -> FrozenTrial | None:
    """Call ``best_trial``; return what it returns."""
    try:
        best: Any = solution.best_trial(study)
    except ValueError as error:
        if all(trial.state != _COMPLETE for trial in study.trials):
            raise WrongError(
                f"no trial is complete: return None, got ValueError: {error}"
            ) from None
        raise
    if best is not None and not isinstance(best, FrozenTrial):
        raise WrongError(
            f"best_trial returns the trial itself (not its number, value or parameters), got"
            f" {str(best)[:80]}"
        )
    return best


def best_trial_is_complete(solution: Solution) -> None:
    """best_trial returns the complete trial with the largest value."""
    for trials in (_TRIALS, _OTHER):
        study = _study(trials)
        values = {
            trial.number: trial.values[0] for trial in study.trials if trial.state == _COMPLETE
        }
        right = max(values, key=lambda number: values[number])
        best = _best(solution, study)
        if best is None:
            raise WrongError(
                "best_trial returns None for a study with complete trials: is its return missing,"
                " or does the search start from 0? Scores may be negative"
            )
        if best.number == right:
            continue
        on_the_way = {number: trials[number][2] for number in values}
        causes = {
            min(values, key=lambda number: values[number]): "the smallest value: ours maximize",
            max(on_the_way, key=lambda number: on_the_way[number]): (
                "the best score on the way: the value of a trial counts, its last score"
            ),
            min(values): "the first complete trial",
            max(values): "the last complete trial",
        }
        state = best.state.name
        cause = causes.get(best.number, "")
        if best.state != _COMPLETE:
            cause = f"it is {state}, only COMPLETE trials count"
        raise WrongError(
            f"complete trials, number: value {values}: trial {right} is the best, got trial"
            f" {best.number} ({state}){': ' if cause else ''}{cause}"
        )


def no_complete_trial_is_none(solution: Solution) -> None:
    """best_trial returns None if no trial is complete."""
    for trials in (_WITHOUT_COMPLETE, ()):
        best = _best(solution, _study(trials))
        if best is not None:
            raise WrongError(
                f"no trial is complete: None expected, got trial {best.number} ({best.state.name})"
            )


#: parameter -> its distribution and value
_Params = dict[str, tuple[BaseDistribution, Any]]

_RATE = FloatDistribution(1e-4, 1e-2, log=True)
_EPSILON = FloatDistribution(0.1, 0.5)
_SHIFTED = FloatDistribution(-1.0, 1.0)
_INTERVAL = IntDistribution(10, 2000, log=True)
_LAYERS = IntDistribution(1, 101)
_N_STEPS = CategoricalDistribution((1, 3, 5))
_UNSORTED = CategoricalDistribution((0.99, 0.9, 0.95))
_SKEWED = CategoricalDistribution((1, 2, 1000))
_SCHEDULE = CategoricalDistribution(("constant", "linear", "cosine"))


def _check_edges(
    solution: Solution, params: _Params, right: Iterable[str], cause: str, *share: float
) -> None:
    """Call ``on_edge`` with a trial, and compare the names that it returns.

    :param cause: why it may have gone wrong.
    """
    trial = optuna.trial.create_trial(
        value=1.0,
        params={name: value for name, (_, value) in params.items()},
        distributions={name: distribution for name, (distribution, _) in params.items()},
    )
    names = solution.on_edge(trial, *share)
    if names is None:
        raise WrongError("on_edge returns None: is its return missing?")
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise WrongError(f"on_edge returns a list of names of parameters, got {names!r}")
    seen, expected = list(names), sorted(right)
    for name in seen:
        if name not in params:
            raise WrongError(f"on_edge returns a list of names of parameters, got {name!r} in it")
    if sorted(set(seen)) != expected:
        values = ", ".join(f"{n}={value!r} of {kind}" for n, (kind, value) in params.items())
        raise WrongError(
            f"{values}{f', share={share[0]:g}' if share else ''}: {expected} expected, got"
            f" {seen}: {cause}"
        )


def ranges_have_two_edges(solution: Solution) -> None:
    """A value within 5 % of the width from either end of a range lies on the edge."""
    low = "5 % of the width above low is on the edge, too, not only low itself"
    high = "5 % of the width below high is on the edge, too, not only high itself"
    inside = "a value inside of the range was called one on the edge, or all were"
    relative = (
        "the width of the range counts, high - low, not a share of its ends, and no logarithms"
        " (log=False)"
    )
    for kind, value, is_edge, cause in (
        (_EPSILON, 0.3, False, inside),
        (_EPSILON, 0.1, True, low),
        (_EPSILON, 0.104, True, low),
        (_EPSILON, 0.5, True, high),
        (_EPSILON, 0.496, True, high),
        (_EPSILON, 0.117, True, relative),
        (_EPSILON, 0.126, False, "0.026 is more than 5 % of the width, 0.4"),
        (_EPSILON, 0.476, False, relative),
        (_SHIFTED, 0.0, False, relative),
        (_SHIFTED, -0.92, True, relative),
        (_SHIFTED, 0.92, True, relative),
        (_LAYERS, 1, True, f"IntDistribution is a range, too; {low}"),
        (_LAYERS, 4, True, f"IntDistribution is a range, too; {low}"),
        (_LAYERS, 98, True, f"IntDistribution is a range, too; {high}"),
        (_LAYERS, 50, False, inside),
    ):
        right = ["epsilon"] if is_edge else []
        _check_edges(solution, {"epsilon": (kind, value)}, right, cause)


def logarithmic_ranges_are_measured_so(solution: Solution) -> None:
    """With log=True the logarithms count."""
    for kind, value, is_edge in (
        (_RATE, 4e-4, False),
        (_RATE, 1.1e-4, True),
        (_RATE, 8.5e-3, True),
        (_RATE, 5e-3, False),
        (_INTERVAL, 60, False),
        (_INTERVAL, 1700, True),
        (_INTERVAL, 12, True),
    ):
        share = (math.log(value) - math.log(kind.low)) / (math.log(kind.high) - math.log(kind.low))
        cause = (
            f"log=True, so take the logarithms of low, high and the value, which is at {share:.0%}"
            " of the way from low to high then"
        )
        _check_edges(solution, {"rate": (kind, value)}, ["rate"] if is_edge else [], cause)


def choices_have_edges_if_they_are_numbers(solution: Solution) -> None:
    """Of choices the smallest and the largest number are the edges; strings have none."""
    position = "the smallest and the largest count, not the first and the last"
    for kind, value, is_edge, cause in (
        (_N_STEPS, 1, True, "the smallest of the choices is on the edge"),
        (_N_STEPS, 3, False, "neither the smallest nor the largest of the choices"),
        (_N_STEPS, 5, True, "the largest of the choices is on the edge"),
        (_UNSORTED, 0.9, True, position),
        (_UNSORTED, 0.95, False, position),
        (
            _SKEWED,
            2,
            False,
            "share is for ranges, of choices only the smallest and the largest count",
        ),
        (_SCHEDULE, "constant", False, "strings have no order"),
        (_SCHEDULE, "cosine", False, "strings have no order"),
    ):
        _check_edges(solution, {"choice": (kind, value)}, ["choice"] if is_edge else [], cause)


def share_and_all_parameters_count(solution: Solution) -> None:
    """All parameters on the edge are named, and share sets what is near."""
    params: _Params = {
        "rate": (_RATE, 1e-4),
        "epsilon": (_EPSILON, 0.3),
        "n_steps": (_N_STEPS, 5),
        "schedule": (_SCHEDULE, "linear"),
        "interval": (_INTERVAL, 2000),
    }
    edges = ("rate", "n_steps", "interval")
    _check_edges(solution, params, edges, "look at every parameter of the trial")
    _check_edges(solution, {}, (), "a trial without parameters has none on the edge")
    ignored = "share is an argument, it is not always 0.05"
    for share, value, is_edge in ((0.2, 0.17, True), (0.01, 0.11, False), (0.01, 0.498, True)):
        right = ["epsilon"] if is_edge else []
        _check_edges(solution, {"epsilon": (_EPSILON, value)}, right, ignored, share)
    _check_edges(solution, params, edges, "a second call gives other names: is something kept?")


READ_STUDY = Exercise(
    functions=("count_trials", "best_trial", "on_edge"),
    properties=(
        trials_are_counted_by_state,
        best_trial_is_complete,
        no_complete_trial_is_none,
        ranges_have_two_edges,
        logarithmic_ranges_are_measured_so,
        choices_have_edges_if_they_are_numbers,
        share_and_all_parameters_count,
    ),
)
