"""Studies: settings, samplers, seeds, exact budget."""

from __future__ import annotations

import random
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna
import pytest
from optuna import Trial
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from sb3_atari_course.tuning.study import (
    BUDGET,
    ERROR,
    GAMES,
    SAMPLING,
    SETTINGS,
    SURPLUS,
    TRAINING,
    SamplerByNumber,
    create_or_join,
    find_study,
    is_surplus,
    seed_for,
    settings_of,
    status_of,
)
from tests.tuning.studies import SPACE, TABLE, make_study, settings, states

FAIL, RUNNING, COMPLETE = TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE


def trials(*states: TrialState) -> list[optuna.trial.FrozenTrial]:
    made = []
    for number, state in enumerate(states):
        one = create_trial(state=state, value=1.0 if state == COMPLETE else None)
        one.number = number
        made.append(one)
    return made


def test_joining_a_study_may_extend_its_budget() -> None:
    storage = InMemoryStorage()
    first = make_study(storage, 7)
    for wanted, budget in ((7, 7), (9, 9), (None, 9)):
        joined = create_or_join(storage, "ice", settings(), wanted, 1)
        assert joined._study_id == first._study_id
        found = find_study(storage, "ice")
        assert status_of(found).budget == budget
        assert settings_of(found) == settings()
    assert states(first) == ["WAITING"]  # the yml, enqueued once
    with pytest.raises(ValueError, match="9 trials"):
        make_study(storage, 8)
    assert status_of(create_or_join(storage, "new", settings(), None, 3)).budget == 3


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"env_id": "Taxi-v4", "n_games": 6}, "env_id.*FrozenLake-v1.*Taxi-v4"),
        ({"n_timesteps": 2000}, "n_timesteps.*1000.*2000"),
        ({"native": True}, "native.*False.*True"),
        ({"gym_packages": ("a",)}, r"gym_packages.*\(\).*\('a',\)"),
        ({"hyperparams": {**TABLE, "gamma": 0.5, "n_envs": 2}}, "hyperparams: gamma, n_envs:"),
        ({"space": {"gamma": [0.9, 0.99], "learning_rate": SPACE["learning_rate"]}, "seed": 7},
         "space: initial_value:"),
    ],
)  # fmt: skip
def test_rejects_study_with_different_settings(changes: dict[str, Any], differs: str) -> None:
    storage = InMemoryStorage()
    make_study(storage)
    with pytest.raises(ValueError, match=f"'ice' .*{differs}"):
        make_study(storage, **changes)


def test_rejects_study_of_another_version() -> None:
    stored = asdict(settings())
    older = {name: stored[name] for name in stored if name != "native"}
    for content in (older, {**stored, "n_envs": 4}, {}):
        study = make_study()
        study.set_user_attr(SETTINGS, content)
        with pytest.raises(ValueError, match="another version"):
            settings_of(study)


@pytest.mark.parametrize("kind", ["another command", "a trial", "minimize"])
def test_rejects_study_not_created_by_tune(kind: str) -> None:
    storage = InMemoryStorage()
    direction = "minimize" if kind == "minimize" else "maximize"
    theirs = optuna.create_study(storage=storage, study_name="ice", direction=direction)
    if kind == "another command":
        theirs.set_user_attr("command", "rl_zoo3.train -optimize")
    if kind == "a trial":
        theirs.ask()
    for use in (lambda: make_study(storage), lambda: find_study(storage, "ice")):
        with pytest.raises(ValueError, match="'ice' was not created by `tune`"):
            use()
    with pytest.raises(ValueError, match=r"'fire'.*ice"):
        find_study(storage, "fire")


@pytest.mark.parametrize("n_steps_done", range(3))
def test_partially_created_study_is_completed_by_the_next_process(n_steps_done: int) -> None:
    storage = InMemoryStorage()
    half = optuna.create_study(storage=storage, study_name="ice", direction="maximize")
    if n_steps_done > 0:
        half.enqueue_trial({"gamma": 0.99})
    if n_steps_done > 1:
        half.set_user_attr(BUDGET, 3)
    with pytest.raises(ValueError, match="'ice' was not created by `tune`"):
        find_study(storage, "ice")
    assert status_of(make_study(storage, 5)).budget == 5
    assert settings_of(find_study(storage, "ice")) == settings()


@pytest.mark.parametrize("key", ["normalize", "vec_env_wrapper"])
def test_rejects_settings_that_evaluation_does_not_support(key: str) -> None:
    with pytest.raises(ValueError, match=f"the yml has {key}"):
        settings(hyperparams={key: "x.Y"})
    assert settings(hyperparams={key: None}).hyperparams == {key: None}


def test_status_counts_each_trial_once() -> None:
    study = make_study(n_trials=5)
    states = [COMPLETE, COMPLETE, TrialState.PRUNED, FAIL, FAIL, FAIL, RUNNING]
    attrs: list[dict[str, object]] = [{}, {}, {}, {ERROR: "oh"}, {SURPLUS: True}, {}, {}]
    values = [2.0, 3.0] + [None] * 5
    for state, attr, value in zip(states, attrs, values, strict=True):
        study.add_trial(create_trial(state=state, user_attrs=attr, value=value))
    status = status_of(study)
    assert (status.complete, status.pruned, status.finished) == (2, 1, 3)
    assert (status.running, status.waiting) == (1, 1)
    assert status.errors == ((4, "oh"),)
    assert status.n_died == 1
    assert status.best is not None
    assert status.best.number == 2
    assert not status.is_done


def test_study_has_sampler_and_pruner_of_its_settings() -> None:
    study = make_study(n_startup_trials=7, n_timesteps=1000)
    sampler, pruner = study.sampler, study.pruner
    assert isinstance(sampler, SamplerByNumber)
    assert sampler._startup == 7
    assert isinstance(pruner, MedianPruner)
    assert (pruner._n_startup_trials, pruner._n_warmup_steps, pruner._n_min_trials) == (5, 250, 3)
    assert isinstance(make_study(pruner="none").pruner, NopPruner)
    random_only = make_study(sampler="random").sampler
    assert isinstance(random_only, SamplerByNumber)
    assert random_only._startup == sys.maxsize


def test_trial_beyond_the_budget_is_surplus() -> None:
    some = trials(COMPLETE, FAIL, RUNNING, TrialState.WAITING, TrialState.PRUNED)
    assert not is_surplus(4, some, budget=4)
    assert is_surplus(4, some, budget=3)
    assert not is_surplus(0, some, budget=1)


@dataclass
class Simulation:
    """Simulation of workers that ask, check, finish and die in any order."""

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
def test_budget_is_exact_for_any_order_of_worker_events(seed: int) -> None:
    simulation = Simulation(budget=5, rng=random.Random(seed))
    for _ in range(300):
        simulation.step()
        assert simulation.states.count(COMPLETE) <= 5
    assert simulation.states.count(COMPLETE) == 5


def sampler(n_startup_trials: int = 4, seed: int = 0) -> SamplerByNumber:
    return SamplerByNumber(seed=seed, n_startup_trials=n_startup_trials)


def objective(trial: Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return x + (kind == "b")


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("n_startup_trials", [4, sys.maxsize])
def test_trials_depend_on_the_seed(n_startup_trials: int) -> None:
    found = []
    for seed in (0, 0, 1):
        study = optuna.create_study(sampler=sampler(n_startup_trials, seed), direction="maximize")
        study.optimize(objective, n_trials=12)
        found.append(params(study))
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


def test_resumed_study_samples_like_an_uninterrupted_one() -> None:
    whole = optuna.create_study(sampler=sampler(), direction="maximize")
    whole.optimize(objective, n_trials=12)
    storage = InMemoryStorage()
    for _ in range(2):
        half = optuna.create_study(
            storage=storage,
            study_name="half",
            load_if_exists=True,
            sampler=sampler(),
            direction="maximize",
        )
        half.optimize(objective, n_trials=6)
    assert params(half) == params(whole)


def test_two_workers_sample_different_trials() -> None:
    storage = InMemoryStorage()
    workers = [
        optuna.create_study(
            storage=storage, study_name="two", load_if_exists=True, sampler=sampler()
        )
        for _ in range(2)
    ]
    asked = [workers[i % 2].ask() for i in range(10)]
    values = [trial.suggest_float("x", 0.0, 1.0) for trial in asked]
    assert len(set(values)) == 10


def test_startup_trials_are_random() -> None:
    found = []
    for n_startup_trials in (sys.maxsize, 20, 4):
        late = sampler(n_startup_trials)
        study = optuna.create_study(sampler=late, direction="maximize")
        study.optimize(objective, n_trials=20)
        found.append(params(study))
    for number, trial in enumerate(
        found[0]
    ):  # sampled from a generator seeded by the trial's number
        naive = RandomSampler(seed=seed_for(SAMPLING, 0, number))
        alone = optuna.create_study(sampler=naive)
        alone.optimize(objective, n_trials=1)
        assert trial == alone.trials[0].params
    assert found[1] == found[0]
    assert found[2] != found[0]


def test_seeds_differ_by_purpose_study_trial_and_repeat() -> None:
    seeds = {
        seed_for(purpose, study_seed, number, repeat)
        for purpose in (SAMPLING, TRAINING, GAMES)
        for study_seed in range(10)
        for number in range(50)
        for repeat in range(2)
    }
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**31 for seed in seeds)
