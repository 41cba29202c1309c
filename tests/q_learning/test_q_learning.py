"""Q-learning updates, compared with values computed by hand and a naive implementation."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course.q_learning import EpisodeDecay, QLearning
from tests.fakes import TabularEnv, random_rules
from tests.naive import Rules, q_learning, value_iteration

#: A chain 0 -> 1 -> 2 with rewards 1 and 2; state 2 returns to itself with reward 4.
LINE: Rules = {
    0: {0: [(1.0, 1, 1.0, False)]},
    1: {0: [(1.0, 2, 2.0, False)]},
    2: {0: [(1.0, 2, 4.0, False)]},
}


def ending_at(state: int) -> Rules:
    """Return LINE with ``state`` as its terminal state."""
    return {s: {0: [(p, n, r, n == state)]} for s, row in LINE.items() for p, n, r, _ in row[0]}


def make_model(*envs: TabularEnv, table: Any = None, **kwargs: Any) -> QLearning:
    """Return a model of these environments with the given Q-table."""
    vec_env = DummyVecEnv([lambda env=env: env for env in envs])  # type: ignore[misc]
    model = QLearning("QTablePolicy", vec_env, **{"seed": 0, **kwargs})
    if table is not None:
        model.q_table[:] = table
    return model


def q_values(model: QLearning) -> list[float]:
    return model.q_table[:, 0].tolist()


def test_each_step_updates_one_cell() -> None:
    model = make_model(
        TabularEnv(LINE, [1, 0, 0]), table=[[0], [10], [20]], learning_rate=0.5, gamma=0.9
    )
    model.learn(1)
    assert q_values(model) == [5, 10, 20]  # half of the way from 0 to 1 + 0.9 * 10
    model.learn(1, reset_num_timesteps=False)
    assert q_values(model) == [5, 15, 20]  # half of the way from 10 to 2 + 0.9 * 20
    assert model.num_timesteps == 2


@pytest.mark.parametrize(
    ("ends_at", "max_steps", "first", "expected"),
    [
        (1, 99, 0, 1),  # terminated: not 1 + 0.9 * 10
        (1, 1, 0, 1),  # terminated in the last step before the time limit
        (None, 1, 100, 10),  # truncated: 1 + 0.9 * 10, not 1 + 0.9 * 100 of the next episode
    ],
)
def test_bootstraps_after_truncation_but_not_after_termination(
    ends_at: int | None, max_steps: int, first: int, expected: float
) -> None:
    rules = LINE if ends_at is None else ending_at(ends_at)
    env = TabularEnv(rules, [1, 0, 0], max_steps=max_steps)
    model = make_model(env, table=[[first], [10], [20]], learning_rate=1.0, gamma=0.9)
    model.learn(1)
    assert env.starts == [0, 0]  # it was reset
    assert q_values(model) == [expected, 10, 20]


def test_next_episode_starts_from_the_reset_observation() -> None:
    env = TabularEnv(ending_at(2), [1, 0, 0])
    model = make_model(env, learning_rate=1.0, gamma=1.0)
    model.learn(4)
    assert [step[0] for step in env.steps] == [0, 1, 0, 1]
    assert q_values(model) == [3, 2, 0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("rate", [0.3, "visits"])
def test_matches_naive_implementation(seed: int, n_envs: int, rate: float | str) -> None:
    """Random environments with offset indices, terminations and truncations; equal Q-tables."""
    shape: dict[str, Any] = {"shape": (2, 3)} if seed % 2 else {"first_state": 5}
    envs = [
        TabularEnv(random_rules(seed), max_steps=7 + i, first_action=seed - 2, **shape)
        for i in range(n_envs)
    ]
    model = make_model(*envs, seed=seed, learning_rate=rate, gamma=0.9, exploration=0.5)
    model.learn(200 * n_envs)
    in_order = list(chain(*zip(*(env.steps for env in envs), strict=True)))
    expected = np.zeros((6, 3))
    for cell, value in q_learning(in_order, 0.9, 0.3 if rate == 0.3 else None, 3).items():
        expected[cell] = value
    np.testing.assert_array_equal(model.q_table, expected)
    visits = np.zeros((6, 3), int)
    for state, action, *_ in in_order:
        visits[state, action] += 1
    np.testing.assert_array_equal(model.policy.visits, visits)
    assert visits.sum() == model.num_timesteps == model._n_updates == 200 * n_envs


def test_visits_learning_rate_converges_to_value_iteration() -> None:
    rules = random_rules(0)
    model = make_model(
        TabularEnv(rules, max_steps=20), learning_rate="visits", gamma=0.5, exploration=1.0
    )
    truth = value_iteration(rules, 0.5)
    model.learn(1000)
    early = np.abs(model.q_table - truth).max()
    model.learn(40_000, reset_num_timesteps=False)
    late = np.abs(model.q_table - truth).max()
    assert late < 0.2
    assert late < early / 2


class Recorder(BaseCallback):
    """Records the model's state at each step, after the update."""

    def __init__(self, stop_at: int = 10**9) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.epsilons: list[float] = []
        self.rates: list[float | None] = []
        self.episodes: list[int] = []
        self.tables: list[NDArray[np.float64]] = []

    def _on_step(self) -> bool:
        model: Any = self.model
        self.epsilons.append(model.exploration_rate)
        self.rates.append(model.current_learning_rate)
        self.episodes.append(model._episode_num)
        self.tables.append(model.q_table.copy())
        return self.num_timesteps < self.stop_at


def test_epsilon_decays_by_episode_and_restarts() -> None:
    decay = EpisodeDecay(1.0, 0.1, 0.5)
    model = make_model(TabularEnv(ending_at(2), [1, 0, 0]), exploration=decay)
    recorder = Recorder()
    model.learn(6, callback=recorder)  # episodes of two steps
    assert recorder.epsilons == [decay(0), decay(0), decay(1), decay(1), decay(2), decay(2)]
    model.learn(2, callback=recorder, reset_num_timesteps=False)
    assert recorder.epsilons[-2:] == [decay(3), decay(3)]
    model.learn(2, callback=recorder)
    assert recorder.epsilons[-2:] == [decay(0), decay(0)]


class ChangeSettings(BaseCallback):
    """Sets attributes of the model after its second step."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.values = values

    def _on_step(self) -> bool:
        if self.num_timesteps == 2:
            self.model.__dict__.update(self.values)
        return True


def test_settings_changed_by_a_callback_apply_to_the_next_step() -> None:
    """The third step updates its cell by a tenth of the way from 0 to 1 + 0.5 * 20."""
    rules: Rules = {
        s: {0: [(1.0, min(s + 1, 3), 1.0, False)], 1: [(1.0, s, 0.0, False)]} for s in range(4)
    }
    table = [[0, 0], [0, 0], [0, 0], [20, 0]]
    changes = ChangeSettings(learning_rate=0.1, gamma=0.5, exploration=1.0)
    model = make_model(
        TabularEnv(rules, [1, 0, 0, 0]), table=table, learning_rate=1.0, exploration=0.0, gamma=0.0
    )
    model.q_table[:, 1] = -1
    model.learn(2, callback=changes)
    assert model.q_table[:, 0].tolist() == [1, 1, 0, 20]
    assert model.exploration_rate == 0.0
    recorder = Recorder()
    model.exploration = 0.0
    model.learn(1, callback=recorder, reset_num_timesteps=False)
    assert recorder.rates == [0.1]
    assert model.q_table[2, 0] == pytest.approx(1.1)
    model.exploration = {"initial_eps": 0.3, "final_eps": 0.3, "decay": 0}
    model.learn(1, callback=recorder, reset_num_timesteps=False)
    assert recorder.epsilons == [0.0, pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", 2.0), ("learning_rate", "fast"), ("exploration", -1)]
)
def test_changed_settings_are_validated_before_use(name: str, value: Any) -> None:
    model = make_model(TabularEnv(LINE), learning_rate=0.5).learn(5)
    before = model.q_table.copy()
    setattr(model, name, value)
    with pytest.raises(ValueError, match=str(value)):
        model.learn(5, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.q_table, before)


def test_schedules_follow_the_progress_of_each_training() -> None:
    falling = LinearSchedule(1.0, 0.0, 1.0)
    model = make_model(TabularEnv(LINE), exploration=falling, learning_rate=falling)
    recorder = Recorder()
    for _ in range(2):
        model.learn(4, callback=recorder)
    assert recorder.epsilons == recorder.rates == [1, 0.75, 0.5, 0.25] * 2


def test_stopping_by_callback_loses_no_transition() -> None:
    stopped, whole = (make_model(TabularEnv(random_rules(0), max_steps=9)) for _ in range(2))
    stopped.learn(50, callback=Recorder(stop_at=20))
    assert stopped.num_timesteps == 20
    stopped.learn(30, reset_num_timesteps=False)
    whole.learn(50)
    np.testing.assert_array_equal(stopped.q_table, whole.q_table)


def test_update_precedes_callbacks() -> None:
    recorder = Recorder()
    model = make_model(TabularEnv(LINE, [1, 0, 0]), learning_rate=1.0, exploration=0.0)
    model.learn(1, callback=recorder)
    assert recorder.tables[0][:, 0].tolist() == [1, 0, 0]
    assert {"infos", "dones", "rewards", "new_obs", "actions"} <= set(recorder.locals)


def test_training_is_reproducible_by_seed() -> None:
    def learned(seed: int) -> NDArray[np.float64]:
        return make_model(TabularEnv(random_rules(1), max_steps=9), seed=seed).learn(300).q_table

    np.testing.assert_array_equal(learned(3), learned(3))
    assert (learned(3) != learned(4)).any()


def test_global_generators_are_not_used() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    model = make_model(TabularEnv(random_rules(1), max_steps=9), seed=None)
    model.learn(50)
    model.predict(np.array([0, 1]))
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002


def test_ties_are_broken_uniformly() -> None:
    rules = {s: {a: [(1.0, s, 0.0, False)] for a in range(4)} for s in range(2)}
    env = TabularEnv(rules, max_steps=10)
    make_model(env, exploration=0.0).learn(400)
    counts = np.bincount([action for _, action, *_ in env.steps], minlength=4)
    assert counts == pytest.approx(100, rel=0.3)


class InvalidStateEnv(TabularEnv):
    """Environment that returns a state outside its space in step ``at``."""

    def __init__(self, at: int) -> None:
        super().__init__(LINE, [1, 0, 0])
        self.at = at

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        if len(self.steps) == self.at:
            return 3, reward, terminated, truncated, info
        return obs, reward, terminated, truncated, info


def test_invalid_state_does_not_change_the_table() -> None:
    healthy, broken = TabularEnv(LINE, [1, 0, 0]), InvalidStateEnv(2)
    model = make_model(healthy, broken, learning_rate=1.0)
    recorder = Recorder()
    with pytest.raises(ValueError, match="state 3 lies outside"):
        model.learn(10, callback=recorder)
    np.testing.assert_array_equal(model.q_table, recorder.tables[-1])  # nor by the valid one
    assert len(recorder.tables) == 1
    assert model.num_timesteps == 2


def test_non_finite_reward_does_not_change_the_table() -> None:
    model = make_model(TabularEnv({0: {0: [(1.0, 0, float("nan"), False)]}}))
    with pytest.raises(ValueError, match="nan"):
        model.learn(1)
    assert q_values(model) == [0]


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", 1.5), ("gamma", 1.1), ("exploration", 2.0)]
)
def test_rejects_arguments_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} .* {value}"):
        make_model(TabularEnv(LINE), **{name: value})


def test_hyperparameters_are_stored_unchanged() -> None:
    exploration = {"initial_eps": 0.5, "final_eps": 0.1, "decay": 0.2}
    model = make_model(TabularEnv(LINE), exploration=exploration, learning_rate="visits", gamma=0.5)
    model.learn(10)
    assert (model.exploration, model.learning_rate, model.gamma) == (exploration, "visits", 0.5)


def test_episodes_of_all_environments_are_counted() -> None:
    envs = [TabularEnv(ending_at(1), [1, 0, 0]), TabularEnv(ending_at(2), [1, 0, 0])]
    recorder = Recorder()
    make_model(*envs).learn(8, callback=recorder)
    assert recorder.episodes == [1, 3, 4, 6]
    assert all(before <= after for before, after in pairwise(recorder.episodes))
