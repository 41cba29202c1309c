"""An episode, kept and shown as text."""

from __future__ import annotations

import io
import sys
import time
import types
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_course.course.toy_text import EpisodeStep, play_episode, replay_episode
from tests.fakes import ScriptedPlayer

STEPS = [EpisodeStep(f"frame {n}\n", n, 10 + n, 1, -1.0, -1.0 - n) for n in range(3)]


class Terminal(io.StringIO):
    """A screen to write to."""

    def isatty(self) -> bool:
        return True


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


def test_a_policy_that_never_ends_is_cut_off() -> None:
    upwards = ScriptedPlayer([0])
    assert len(play_episode(upwards, "CliffWalking-v1", max_steps=30)) == 30


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


def test_it_stops_at_the_time_limit() -> None:
    env = gym.make("Taxi-v4", render_mode="ansi", max_episode_steps=4)
    assert len(play_episode(ScriptedPlayer([0]), env)) == 4


def test_an_id_will_do() -> None:
    steps = play_episode(ScriptedPlayer([0, 1]), "Taxi-v4", seed=3)
    assert len(steps) == 200
    assert "|" in steps[0].frame


def test_other_render_modes_are_refused() -> None:
    with pytest.raises(ValueError, match=r'render_mode=None: make .* render_mode="ansi"'):
        play_episode(ScriptedPlayer([0]), gym.make("Taxi-v4"))


def test_all_numbers_are_shown() -> None:
    assert STEPS[1].text(episode=7) == (
        "frame 1\nEpisode: 7\nStep: 1\nState: 11\nAction: 1\nReward: -1.0\nTotal reward: -2.0"
    )
    assert "Episode" not in STEPS[1].text()


def test_a_file_gets_one_step_after_the_other_at_once() -> None:
    out, start = io.StringIO(), time.perf_counter()
    replay_episode(STEPS, episode=0, max_steps=2, delay=100, file=out)
    assert time.perf_counter() - start < 10
    shown = STEPS[0].text(0) + "\n\n" + STEPS[1].text(0) + "\n\n"
    assert out.getvalue() == shown + "... steps not shown: 1\n"


def test_on_a_terminal_each_step_takes_the_place_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    out = Terminal()
    replay_episode(STEPS, file=out)
    clear = "\x1b[H\x1b[2J"
    assert out.getvalue() == "".join(f"{clear}{step.text()}\n" for step in STEPS)
    assert slept == [0.1] * 3


def test_in_a_notebook_the_output_of_the_cell_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []
    ipython: Any = types.ModuleType("IPython")
    display: Any = types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: object()
    display.clear_output = lambda wait: cleared.append(wait)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    replay_episode(STEPS, delay=0)
    assert cleared == [True] * 3
    assert capsys.readouterr().out == "".join(step.text() + "\n" for step in STEPS)
    replay_episode(STEPS, file=io.StringIO())
    assert cleared == [True] * 3  # a file clears nothing


def test_a_part_of_an_episode_can_be_shown() -> None:
    out = io.StringIO()
    replay_episode([EpisodeStep("", n, 0, 0, 0.0, 0.0) for n in range(100, 105)], file=out)
    assert out.getvalue().count("Step:") == 5
    with pytest.raises(ValueError, match="max_steps must be at least 0, got -1"):
        replay_episode(STEPS, max_steps=-1)


def test_fifty_steps_are_enough() -> None:
    many = [EpisodeStep("", n, 0, 0, 0.0, 0.0) for n in range(60)]
    out = io.StringIO()
    replay_episode(many, file=out)
    assert out.getvalue().count("Step:") == 50
    assert "Step: 49" in out.getvalue()
    assert out.getvalue().endswith("... steps not shown: 10\n")
