"""The table's benchmark: every side plays what it says, and the last line is JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor

from benchmarks import q_learning
from benchmarks.q_learning import Learned, Stopwatch, TableModel
from tests.naive import value_iteration


def test_recorded_loops_play_the_episodes_of_our_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The actions fit: the same seed, the same episodes, in SB3's loop and in the bare one."""
    monitors: list[Monitor] = []

    def monitored(*args: Any, **kwargs: Any) -> Monitor:
        monitors.append(Monitor(make(*args, **kwargs)))
        return monitors[-1]

    make = gym.make
    actions = q_learning.recorded_actions(900)
    monkeypatch.setattr(gym, "make", monitored)  # Monitor inside all of them
    q_learning.our_loop(900, 1)()
    q_learning.sb3_loop(900, 1, actions)()
    q_learning.bare_loop(900, actions)()
    q_learning.bare_loop(900, None)()
    ours, sb3, bare, at_random = (monitor.get_episode_rewards() for monitor in monitors)
    assert len(ours) >= 4
    assert ours == sb3 == bare != at_random


@pytest.mark.parametrize("render", [True, False])
def test_the_tutorials_loop_learns(render: bool) -> None:
    tables = []
    n_steps = q_learning.tutorial_loop(
        60, 0, render=render, after_episode=lambda episode, table: bool(tables.append(table))
    )
    assert len(tables) == 60
    assert 60 * 13 < n_steps <= 60 * 200
    assert (tables[-1] != 0).sum() > 500


def test_it_stops_when_it_is_told_to() -> None:
    seen: list[int] = []

    def after_episode(episode: int, table: np.ndarray) -> bool:  # type: ignore[type-arg]
        seen.append(episode)
        return episode == 3

    q_learning.tutorial_loop(10, 0, render=False, after_episode=after_episode)
    assert seen == [1, 2, 3]


def test_what_is_optimal() -> None:
    best = value_iteration(gym.make("Taxi-v4").unwrapped.P, 0.99)  # type: ignore[attr-defined]
    for table, optimal in ((best, True), (-best, False)):
        mean_return = q_learning.exact_return(TableModel(table))
        assert Learned(mean_return=mean_return).optimal == optimal
    assert not Learned().optimal


def test_checks_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 13.0, 50.0, 51.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    watch.hold()
    watch.go_on()
    watch.hold()
    assert watch.seconds == 4.5


def test_the_time_to_optimal_ends_with_an_optimal_table() -> None:
    found = q_learning.ours_to_optimal(0, n_envs=8)
    assert found.optimal
    assert 50 <= found.n_episodes < 4000
    assert found.seconds > 0


def test_the_last_line_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {
        q_learning.BARE: 80.0,
        q_learning.SB3: 40.0,
        q_learning.SB3_RECORDED: 50.0,
        q_learning.OURS: 32.0,
        q_learning.SB3_SIXTEEN: 60.0,
        q_learning.OURS_SIXTEEN: 54.0,
    }
    found = {
        q_learning.OURS_YML: [Learned(s, 900, 7.93) for s in (2.0, 9.0, 3.0)],
        q_learning.OURS: [Learned(s, 900, 7.93) for s in (4.0, 9.0, 5.0)],
        q_learning.TUTORIAL: [Learned(s, 20_000, 7.9) for s in (5.0, 4.0, 4.5)],
        q_learning.TUTORIAL_RENDER: [Learned(s, 20_000, 7.9) for s in (8.0, 8.5, 9.0)],
    }
    monkeypatch.setattr(sys, "argv", ["q_learning.py", "--quick"])
    monkeypatch.setattr(q_learning, "measure_speed", lambda *_: rates)
    monkeypatch.setattr(q_learning, "measure_learning", lambda *_: found)
    q_learning.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {
        "vs_sb3_loop_one_env": 0.8,
        "vs_sb3_loop_one_env_recorded": 0.64,
        "vs_bare_loop_one_env": 0.4,
        "vs_sb3_loop_sixteen_envs": 0.9,
        "seconds_to_optimal": 3.0,
        "tutorial_seconds": 8.5,
        "tutorial_seconds_without_render": 4.5,
    }
    assert "0 of 3" in "\n".join(table)
