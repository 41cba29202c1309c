"""Studies: their settings, their samplers, and their budget, kept to the trial."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, field, replace
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
    StudySettings,
    begin_or_join,
    find_study,
    is_surplus,
    seed_for,
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
    with pytest.raises(ValueError, match="with env_id FrozenLake-v1, not Taxi-v4"):
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
    with_a_trial = optuna.create_study(storage=storage, study_name="fog", direction="maximize")
    with_a_trial.ask()
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        begin(storage, name="fog")


def test_a_study_whose_beginner_died_is_begun_by_the_next() -> None:
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


def test_a_study_that_looks_for_the_worst_is_refused() -> None:
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="ice", direction="minimize")
    with pytest.raises(ValueError, match="was not begun by `tune`"):
        begin(storage)


def test_a_study_whose_settings_were_never_written_is_none_of_ours() -> None:
    """Its beginner died between the budget and the settings."""
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
    assert sampler._startup == 7
    assert isinstance(pruner, MedianPruner)
    assert (pruner._n_startup_trials, pruner._n_warmup_steps, pruner._n_min_trials) == (5, 250, 3)
    assert isinstance(begin(pruner="none").pruner, NopPruner)
    random_only = begin(sampler="random").sampler
    assert isinstance(random_only, SamplerByNumber)
    assert random_only._startup == sys.maxsize


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


CARTPOLE = StudySettings(
    algo="dqn",
    env_id="CartPole-v1",
    hyperparams={"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [64, 64]}, "gamma": 0.99},
    space={"gamma": [0.9, 0.99], "learning_rate": {"low": 0.0001, "high": 0.01, "log": True}},
    n_timesteps=1000,
)


class TestStoring:
    def test_they_come_back_from_json(self) -> None:
        other = replace(CARTPOLE, seed=3, epsilon=0.05, sampler="random", gym_packages=("a",))
        for given in (CARTPOLE, other):
            stored = json.loads(json.dumps(given.as_dict()))
            assert StudySettings.from_dict(stored) == given

    def test_everything_is_stored(self) -> None:
        assert CARTPOLE.as_dict() == {
            "algo": "dqn",
            "env_id": "CartPole-v1",
            "hyperparams": {
                "policy": "MlpPolicy",
                "policy_kwargs": {"net_arch": [64, 64]},
                "gamma": 0.99,
            },
            "space": {
                "gamma": [0.9, 0.99],
                "learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
            },
            "n_timesteps": 1000,
            "seed": 0,
            "n_repeats": 1,
            "n_evaluations": 4,
            "n_games": 20,
            "epsilon": 0.0,
            "max_frames": 108_000,
            "sampler": "tpe",
            "n_startup_trials": 10,
            "pruner": "median",
            "native": False,
            "gym_packages": (),
        }

    def test_what_is_stored_is_a_copy(self) -> None:
        CARTPOLE.as_dict()["space"]["gamma"].append(1.0)
        assert CARTPOLE.space["gamma"] == [0.9, 0.99]

    def test_another_version_is_named(self) -> None:
        stored = CARTPOLE.as_dict()
        older = {name: stored[name] for name in stored if name != "native"}
        for content in (older, {**stored, "n_envs": 4}, {}):
            with pytest.raises(ValueError, match="begun by another version of sb3_atari_course"):
                StudySettings.from_dict(content)

    def test_what_is_stored_is_checked(self) -> None:
        with pytest.raises(ValueError, match="n_games must be at least 1, got 0"):
            StudySettings.from_dict({**CARTPOLE.as_dict(), "n_games": 0})


class TestSameStudy:
    def test_equal_settings_pass(self) -> None:
        CARTPOLE.check_same("s", StudySettings.from_dict(CARTPOLE.as_dict()))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"algo": "qrdqn"},
                "study 's' was begun with algo dqn, not qrdqn: choose another --study-name",
            ),
            (
                {"env_id": "MountainCar-v0", "space": {}, "n_timesteps": 5},
                "study 's' was begun with env_id CartPole-v1, not MountainCar-v0:"
                " choose another --study-name",
            ),
            (
                {"hyperparams": {"policy": "MlpPolicy", "policy_kwargs": {}, "batch_size": 32}},
                "study 's' was begun with other hyperparams: policy_kwargs, gamma, batch_size"
                ": choose another --study-name",
            ),
            (
                {"space": {**CARTPOLE.space, "gamma": 0.99}, "seed": 7},
                "study 's' was begun with other space: gamma: choose another --study-name",
            ),
            (
                {"n_timesteps": 2000},
                "study 's' was begun with n_timesteps 1000, not 2000: choose another --study-name",
            ),
            (
                {"native": True},
                "study 's' was begun with native False, not True: choose another --study-name",
            ),
        ],
    )
    def test_what_differs_is_told(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=r"choose another --study-name$") as caught:
            replace(CARTPOLE, **changes).check_same("s", CARTPOLE)
        assert str(caught.value) == message


class TestRefusals:
    @pytest.mark.parametrize(
        "name", ["n_timesteps", "n_repeats", "n_evaluations", "n_games", "max_frames"]
    )
    def test_a_count_is_at_least_one(self, name: str) -> None:
        assert getattr(replace(CARTPOLE, **{name: 1}), name) == 1
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            replace(CARTPOLE, **{name: 0})
        with pytest.raises(TypeError, match=f"{name} must be an integer of at least 1, got 2.0"):
            replace(CARTPOLE, **{name: 2.0})

    @pytest.mark.parametrize("name", ["seed", "n_startup_trials"])
    def test_a_seed_is_at_least_zero(self, name: str) -> None:
        assert getattr(replace(CARTPOLE, **{name: 0}), name) == 0
        with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
            replace(CARTPOLE, **{name: -1})

    @pytest.mark.parametrize("native", ["no", 1, None])
    def test_native_is_a_flag(self, native: Any) -> None:
        with pytest.raises(TypeError, match=f"native must be True or False, got {native!r}"):
            replace(CARTPOLE, native=native)

    @pytest.mark.parametrize("epsilon", [-0.01, 1.01, float("nan")])
    def test_epsilon_is_a_probability(self, epsilon: float) -> None:
        assert [replace(CARTPOLE, epsilon=edge).epsilon for edge in (0.0, 1.0)] == [0.0, 1.0]
        with pytest.raises(ValueError, match=f"epsilon must be .*got {epsilon}"):
            replace(CARTPOLE, epsilon=epsilon)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"algo": "ppo"}, r"algo is one of \('dqn', 'qrdqn', .*'q_learning'\), got 'ppo'"),
            ({"sampler": "grid"}, r"sampler is one of \('tpe', 'random'\), got 'grid'"),
            ({"pruner": "mean"}, r"pruner is one of \('median', 'none'\), got 'mean'"),
        ],
    )
    def test_an_unknown_word_is_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            replace(CARTPOLE, **changes)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("normalize", True),
            ("normalize", "{'norm_obs': True}"),
            ("vec_env_wrapper", ["stable_baselines3.common.vec_env.VecMonitor"]),
        ],
    )
    def test_what_an_evaluation_does_not_know_is_refused(self, key: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f"the yml has {key}: .* evaluate_games does not"):
            replace(CARTPOLE, hyperparams={key: value})
        assert replace(CARTPOLE, hyperparams={key: None}).hyperparams == {key: None}
        assert replace(CARTPOLE, hyperparams={"normalize": False}).algo == "dqn"


def sampler(n_startup_trials: int = 4, seed: int = 0, **start: Any) -> SamplerByNumber:
    return SamplerByNumber(seed=seed, n_startup_trials=n_startup_trials, start=start)


def objective(trial: Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return x + (kind == "b")


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("n_startup_trials", [4, sys.maxsize])
def test_equal_seeds_give_equal_trials_and_others_others(n_startup_trials: int) -> None:
    found = []
    for seed in (0, 0, 1):
        study = optuna.create_study(sampler=sampler(n_startup_trials, seed), direction="maximize")
        study.optimize(objective, n_trials=12)
        found.append(params(study))
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not() -> None:
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


def test_two_workers_never_begin_with_the_same_trials() -> None:
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


def test_the_first_trial_takes_what_it_is_told() -> None:
    study = optuna.create_study(sampler=sampler(x=0.25, kind="c"))
    study.optimize(objective, n_trials=2)
    assert study.trials[0].params == {"x": 0.25, "kind": "c"}
    assert study.trials[1].params["x"] != 0.25


def test_random_trials_come_before_tpe() -> None:
    found = []
    for n_startup_trials in (sys.maxsize, 20, 4):
        late = sampler(n_startup_trials)
        study = optuna.create_study(sampler=late, direction="maximize")
        study.optimize(objective, n_trials=20)
        found.append(params(study))
    for number, trial in enumerate(found[0]):  # a generator of its own, seeded by the number
        naive = RandomSampler(seed=seed_for(SAMPLING, 0, number))
        alone = optuna.create_study(sampler=naive)
        alone.optimize(objective, n_trials=1)
        assert trial == alone.trials[0].params
    assert found[1] == found[0]
    assert found[2] != found[0]


def test_tpe_learns_where_it_is_good() -> None:
    study = optuna.create_study(sampler=sampler(), direction="maximize")
    study.optimize(objective, n_trials=60)
    late = [trial.value for trial in study.trials[40:]]
    early = [trial.value for trial in study.trials[:5]]
    assert sum(late) / len(late) > sum(early) / len(early) + 0.3


def test_seeds_differ_by_purpose_study_and_number() -> None:
    seeds = {
        seed_for(purpose, study_seed, number, repeat)
        for purpose in (SAMPLING, TRAINING, GAMES)
        for study_seed in range(10)
        for number in range(50)
        for repeat in range(2)
    }
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**31 for seed in seeds)
