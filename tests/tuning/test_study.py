"""Studies are begun once, joined by others, and their budget is kept to the trial."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import optuna
import pytest
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from sb3_atari_course.tuning.sampler import SamplerByNumber
from sb3_atari_course.tuning.study import (
    BUDGET,
    ERROR,
    SETTINGS,
    SURPLUS,
    begin_or_join,
    find_study,
    is_surplus,
    settings_of,
    standing_of,
)
from tests.tuning.studies import begin, settings

FAIL, RUNNING, COMPLETE = TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE


def trials(*states: TrialState) -> list[optuna.trial.FrozenTrial]:
    made = []
    for number, state in enumerate(states):
        one = create_trial(state=state, value=1.0 if state == COMPLETE else None)
        one.number = number
        made.append(one)
    return made


def test_a_study_keeps_its_settings_and_its_budget() -> None:
    storage = InMemoryStorage()
    begin(storage, 7)
    found = find_study(storage, "ice")
    assert settings_of(found) == settings()
    assert standing_of(found).budget == 7


def test_the_same_command_joins() -> None:
    storage = InMemoryStorage()
    first, second = begin(storage, 7), begin(storage, 7)
    assert second._study_id == first._study_id
    assert standing_of(second).budget == 7


def test_a_larger_budget_extends_a_study_and_a_smaller_one_is_refused() -> None:
    storage = InMemoryStorage()
    begin(storage, 7)
    begin(storage, 9)
    assert standing_of(find_study(storage, "ice")).budget == 9
    with pytest.raises(ValueError, match="study 'ice' has 9 trials to do, fewer is not possible"):
        begin(storage, 8)


def test_another_env_or_setting_is_refused() -> None:
    storage = InMemoryStorage()
    begin(storage)
    with pytest.raises(ValueError, match="is of q_learning on FrozenLake-v1, not q_learning on Ta"):
        begin(storage, env_id="Taxi-v4")
    with pytest.raises(ValueError, match="n_games 5, not 6: choose another --study-name"):
        begin(storage, n_games=6)


def test_a_study_of_others_is_refused() -> None:
    storage = InMemoryStorage()
    theirs = optuna.create_study(storage=storage, study_name="ice")
    theirs.set_user_attr("command", "rl_zoo3.train -optimize")
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        begin(storage)
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        find_study(storage, "ice")
    with pytest.raises(ValueError, match="there is no study 'fire' here, but ice"):
        find_study(storage, "fire")


def test_a_study_whose_beginner_died_is_begun_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_atari_course.tuning.study._BEGINNING", 0.3)
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="ice", direction="maximize")
    assert SETTINGS in begin(storage).user_attrs


def test_the_standing_counts_each_trial_once() -> None:
    study = begin(n_trials=5)
    states = [COMPLETE, COMPLETE, TrialState.PRUNED, FAIL, FAIL, FAIL, RUNNING, TrialState.WAITING]
    attrs: list[dict[str, object]] = [{}, {}, {}, {ERROR: "oh"}, {SURPLUS: True}, {}, {}, {}]
    values = [2.0, 3.0] + [None] * 6
    for state, attr, value in zip(states, attrs, values, strict=True):
        study.add_trial(create_trial(state=state, user_attrs=attr, value=value))
    standing = standing_of(study)
    assert (standing.complete, standing.pruned, standing.finished) == (2, 1, 3)
    assert (standing.running, standing.waiting) == (1, 1)
    assert standing.errors == ((3, "oh"),)
    assert standing.n_died == 1
    assert standing.best is not None
    assert standing.best.number == 1
    assert not standing.is_done


def test_joining_without_a_budget_takes_that_of_the_study() -> None:
    storage = InMemoryStorage()
    begin(storage, 7)
    joined = begin_or_join(storage, "ice", settings(), None, 1)
    assert standing_of(joined).budget == 7
    assert standing_of(begin_or_join(storage, "new", settings(), None, 3)).budget == 3


@pytest.mark.services
def test_a_study_that_looks_for_the_worst_is_refused() -> None:
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="ice", direction="minimize")
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        begin(storage)


def test_a_study_whose_settings_were_never_written_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its beginner died between the budget and the settings."""
    monkeypatch.setattr("sb3_atari_course.tuning.study._BEGINNING", 0.3)
    storage = InMemoryStorage()
    theirs = optuna.create_study(storage=storage, study_name="ice", direction="maximize")
    theirs.set_user_attr(BUDGET, 3)
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        find_study(storage, "ice")
    assert standing_of(begin(storage, 5)).budget == 5


def test_a_study_gets_the_sampler_and_the_pruner_of_its_settings() -> None:
    study = begin(n_startup_trials=7, n_timesteps=1000)
    sampler, pruner = study.sampler, study.pruner
    assert isinstance(sampler, SamplerByNumber)
    assert sampler._n_startup_trials == 7
    assert isinstance(pruner, MedianPruner)
    assert (pruner._n_startup_trials, pruner._n_warmup_steps, pruner._n_min_trials) == (5, 250, 3)
    assert isinstance(begin(pruner="none").pruner, NopPruner)


def test_a_trial_is_surplus_behind_enough_others() -> None:
    some = trials(COMPLETE, FAIL, RUNNING, TrialState.WAITING, TrialState.PRUNED)
    assert not is_surplus(4, some, budget=4)
    assert is_surplus(4, some, budget=3)
    assert not is_surplus(0, some, budget=1)


@dataclass
class Simulation:
    """Workers that ask, check, finish and die in any order; a stupid storage."""

    budget: int
    rng: random.Random
    states: list[TrialState] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)  # not checked yet
    passed: set[int] = field(default_factory=set)

    def step(self) -> None:
        what = self.rng.choice(["ask", "check", "finish", "die"])
        if what == "ask":
            self.asked.add(len(self.states))
            self.states.append(RUNNING)
        elif what == "check" and self.asked:
            number = self.asked.pop()
            if is_surplus(number, trials(*self.states), self.budget):
                self.states[number] = FAIL
            else:
                self.passed.add(number)
        elif what == "finish" and self.passed:
            self.states[self.passed.pop()] = COMPLETE
        elif what == "die" and self.asked | self.passed:
            number = self.rng.choice(sorted(self.asked | self.passed))
            self.asked.discard(number)
            self.passed.discard(number)
            self.states[number] = FAIL


@pytest.mark.parametrize("seed", range(30))
def test_however_workers_ask_and_die_the_budget_is_kept(seed: int) -> None:
    simulation = Simulation(budget=5, rng=random.Random(seed))
    for _ in range(300):
        simulation.step()
        assert simulation.states.count(COMPLETE) <= 5
    assert simulation.states.count(COMPLETE) == 5
