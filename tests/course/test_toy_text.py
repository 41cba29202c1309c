"""Toy text: exact evaluation, policies drawn as arrows, episodes shown as text."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from sb3_atari_course.course.toy_text import (
    EpisodeStep,
    draw_policy,
    evaluate_exactly,
    play_episode,
    replay_episode,
)
from tests.fakes import ScriptedPlayer, TabularEnv, random_rules
from tests.naive import play_exactly, value_iteration


class Policy:
    """A model that plays the action of a list in each state."""

    def __init__(self, actions: Any, first_state: int = 0) -> None:
        self.actions, self.first_state = np.asarray(actions), first_state

    def predict(
        self, observation: NDArray[Any], *, deterministic: bool = False
    ) -> tuple[NDArray[Any], None]:
        assert deterministic
        return self.actions[observation - self.first_state], None


@pytest.mark.parametrize("seed", range(8))
def test_against_a_naive_twin_that_follows_every_branch(seed: int) -> None:
    rules = random_rules(seed, n_states=4)
    policy = np.random.default_rng(seed).integers(3, size=4)
    starts = [0.5, 0.0, 0.2, 0.3]
    world = TabularEnv(rules, starts, first_state=7, first_action=2)
    report = evaluate_exactly(Policy(policy + 2, first_state=7), world, max_steps=6)
    expected = [play_exactly(rules, policy.tolist(), start, 6) for start in (0, 2, 3)]
    assert report.starts.tolist() == [7, 9, 10]
    np.testing.assert_allclose(report.returns, [mean for mean, _ in expected])
    np.testing.assert_allclose(report.lengths, [length for _, length in expected])
    means = np.array([0.5, 0.2, 0.3]) @ np.array(expected)
    assert (report.mean_return, report.mean_length) == pytest.approx(tuple(means))


def test_penalties_are_counted() -> None:
    rules = {
        0: {0: [(0.25, 0, -10.0, False), (0.75, 1, -11.0, False)]},
        1: {0: [(1.0, 1, -10.0, True)]},
    }
    report = evaluate_exactly(Policy([0, 0]), TabularEnv(rules, [1, 0]), max_steps=500, penalty=-10)
    assert report.mean_penalties == pytest.approx(0.25 / 0.75 + 1)
    assert report.mean_length == pytest.approx(1 / 0.75 + 1)
    assert "1.333 penalties" in str(report)
    report = evaluate_exactly(Policy([0, 0]), TabularEnv(rules, [1, 0]), max_steps=500)
    assert report.mean_penalties is None
    assert "penalties" not in str(report)


def test_the_optimum_of_taxi() -> None:
    rules: Any = gym.make("Taxi-v4").unwrapped.P  # type: ignore[attr-defined]
    best = Policy(value_iteration(rules, 0.99).argmax(axis=1))
    report = evaluate_exactly(best, "Taxi-v4", penalty=-10)
    assert len(report.starts) == 300
    assert report.mean_return == pytest.approx(7.93, abs=1e-9)
    assert (report.returns.min(), report.returns.max()) == (3, 15)
    assert report.mean_penalties == 0
    assert report.max_steps == 200
    assert str(report) == (
        "Taxi-v4: 7.930 a game, 13.07 steps, 0.000 penalties (exact, over 300 starts, at most 200"
        " steps)"
    )


def test_a_policy_that_never_ends_is_cut_off_by_the_time_limit_of_the_id() -> None:
    upwards = Policy(np.zeros(48, int))  # into the wall of CliffWalking, for ever
    report = evaluate_exactly(upwards, "CliffWalking-v1", max_steps=50)
    assert (report.mean_return, report.mean_length) == (-50, 50)
    stay = Policy(np.zeros(500, int))
    report = evaluate_exactly(stay, gym.make("Taxi-v4", max_episode_steps=7))
    assert report.mean_return == pytest.approx(-7)
    world = TabularEnv({0: {0: [(1.0, 0, 1.0, True)]}})
    assert evaluate_exactly(Policy([0]), TimeLimit(world, 5)).max_steps == 108_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "CartPole-v1", "CartPole-v1 publishes no transition table"),
        (lambda: gym.make("Taxi-v4", fickle_passenger=True), "plays by more than its"),
    ],
)
def test_worlds_whose_rules_are_not_known(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_exactly(Policy([0]), make())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"penalty": "a"}, TypeError, "penalty"),
        ({"penalty": float("nan")}, ValueError, "penalty"),
        ({"max_steps": 0}, ValueError, "max_steps .* 0"),
    ],
)
def test_wrong_numbers(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate_exactly(Policy(np.zeros(500, int)), "Taxi-v4", **arguments)


def best_policy(env_id: str, **kwargs: Any) -> tuple[Policy, gym.Env[Any, Any]]:
    env = gym.make(env_id, **kwargs)
    table = value_iteration(env.unwrapped.P, 0.99)  # type: ignore[attr-defined]
    return Policy(table.round(9).argmax(axis=1)), env


def test_the_best_policy_of_slippery_ice() -> None:
    """As every textbook has it: away from the holes, whatever the ice does."""
    policy, env = best_policy("FrozenLake-v1")
    assert draw_policy(policy, env) == "←↑↑↑\n←·←·\n↑↓←·\n·→↓·"


def test_every_arrow_leads_where_it_points() -> None:
    """Walked along the drawing alone: to the goal by the shortest way, around the cliff."""
    policy, env = best_policy("CliffWalking-v1")
    rows = draw_policy(policy, env).split("\n")
    assert [len(row) for row in rows] == [12] * 4
    row, column, n_steps = 3, 0, 0
    while (row, column) != (3, 11):
        down, right = {"←": (0, -1), "→": (0, 1), "↑": (-1, 0), "↓": (1, 0)}[rows[row][column]]
        row, column, n_steps = row + down, column + right, n_steps + 1
    assert n_steps == 13
    assert rows[3] == "↑" + "·" * 11


def test_a_taxi_drives_to_its_destination() -> None:
    policy, env = best_policy("Taxi-v4")
    world: Any = env.unwrapped
    grid = np.array([[world.encode(row, column, 4, 3) for column in range(5)] for row in range(5)])
    drawn = draw_policy(policy, "Taxi-v4", states=grid).split("\n")
    assert drawn[4][3] == "D"  # blue is in the last row
    assert "".join(drawn).count("D") == 1
    moves = {"←": (0, -1), "→": (0, 1), "↑": (-1, 0), "↓": (1, 0), "D": (0, 0)}
    for (row, column), state in np.ndenumerate(grid):
        down, right = moves[drawn[row][column]]
        ((_, next_state, _, _),) = world.P[state][policy.actions[state]]
        place = list(world.decode(next_state))[:2]
        assert place == [row + down, column + right]  # where Gymnasium says the action leads


def test_a_grid_world_of_ones_own_whose_actions_begin_at_five() -> None:
    rules = {s: {a: [(1.0, s, 0.0, False)] for a in range(2)} for s in range(6)}
    world, states = TabularEnv(rules, first_action=5), [[0, 1, 2], [3, 4, 5]]
    policy = Policy([5, 6, 6, 5, 5, 6])
    assert draw_policy(policy, world, states=states, signs="<>") == "<>>\n<<>"


@pytest.mark.parametrize(
    ("env", "kwargs", "message"),
    [
        ("Taxi-v4", {}, "TaxiEnv are not known: pass states"),
        ("FrozenLake-v1", {"signs": "<>"}, "FrozenLakeEnv has 4 actions, got the signs '<>'"),
        ("CartPole-v1", {}, "the actions of CartPoleEnv have no signs yet"),
        ("CartPole-v1", {"signs": "<>"}, "the cells of CartPoleEnv are not known: pass states"),
    ],
)
def test_worlds_that_are_not_known(env: str, kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_policy(Policy(np.zeros(500, int)), env, **kwargs)


STEPS = [EpisodeStep(f"frame {n}\n", n, 10 + n, 1, -1.0, -1.0 - n) for n in range(3)]


def test_what_is_kept_of_an_episode() -> None:
    env = gym.make("CliffWalking-v1", render_mode="ansi")
    steps = play_episode(ScriptedPlayer([0] + [1] * 11 + [2]), env, seed=0)
    assert [step.step for step in steps] == list(range(13))
    assert [step.state for step in steps] == [*range(24, 36), 47]
    assert [step.action for step in steps] == [0] + [1] * 11 + [2]
    assert [step.total_reward for step in steps] == [-1.0 - n for n in range(13)]
    assert {step.reward for step in steps} == {-1.0}
    assert steps[0].frame.split("\n")[2].split() == ["x", *["o"] * 11]
    assert steps[0].frame != steps[1].frame


def test_an_episode_ends_at_the_cap_or_the_time_limit() -> None:
    upwards = ScriptedPlayer([0])
    assert len(play_episode(upwards, "CliffWalking-v1", max_steps=30)) == 30
    env = gym.make("Taxi-v4", render_mode="ansi", max_episode_steps=4)
    assert len(play_episode(upwards, env)) == 4


def test_the_seed_decides_the_start_and_the_model_may_explore() -> None:
    class Player:
        def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
            asked.append(deterministic)
            return np.array([0]), None

    asked: list[bool] = []
    frames = [play_episode(Player(), "Taxi-v4", seed=s, max_steps=1)[0].frame for s in (0, 0, 1)]
    assert frames[0] == frames[1] != frames[2]
    play_episode(Player(), "Taxi-v4", deterministic=False, max_steps=1)
    assert asked == [True] * 3 + [False]


def test_other_render_modes_are_refused() -> None:
    with pytest.raises(ValueError, match=r'render_mode=None: make .* render_mode="ansi"'):
        play_episode(ScriptedPlayer([0]), gym.make("Taxi-v4"))


def test_a_file_gets_one_step_after_the_other_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "sleep", pytest.fail)
    replay_episode(STEPS, episode=7, max_steps=2)
    one, two = (
        f"frame {n}\nEpisode: 7\nStep: {n}\nState: {10 + n}\nAction: 1\nReward: -1.0\n"
        f"Total reward: {-1.0 - n}\n\n"
        for n in range(2)
    )
    assert capsys.readouterr().out == one + two + "... steps not shown: 1\n"
    with pytest.raises(ValueError, match="max_steps"):
        replay_episode(STEPS, max_steps=-1)


def test_on_a_terminal_each_step_takes_the_place_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    replay_episode(STEPS)
    clear = "\x1b[H\x1b[2J"
    assert capsys.readouterr().out == "".join(f"{clear}{step.text()}\n" for step in STEPS)
    assert slept == [0.1] * 3


def test_in_a_notebook_the_output_of_the_cell_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []
    ipython: Any = types.ModuleType("IPython")
    display: Any = types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=None)
    display.clear_output = lambda wait: cleared.append(wait)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    replay_episode(STEPS, delay=0)
    assert cleared == [True] * 3
    assert capsys.readouterr().out == "".join(step.text() + "\n" for step in STEPS)
