"""Evaluation protocol, as read from the environment."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, StickyAction, TimeLimit
from stable_baselines3.common.atari_wrappers import AtariWrapper

from sb3_atari_course import evaluate_games, wrap_atari
from sb3_atari_course.evaluation.protocol import ScoreKeeper
from sb3_atari_course.wrappers import ActionRepeat, NoopReset
from tests.fakes import ScriptedPlayer

GAME = "BreakoutNoFrameskip-v4"


def protocol(env_id: str = GAME, **settings: Any) -> dict[str, Any]:
    """Return the protocol of a short evaluation."""
    defaults = {"n_games": 1, "seed": 0, "epsilon": 0.0, "max_frames": 200, "random_play": False}
    report = evaluate_games(ScriptedPlayer([0]), env_id, **{**defaults, **settings})
    json.dumps(report.as_dict())
    assert all(length <= report.protocol.get("max_frames", 10**9) for length in report.lengths)
    return report.protocol


class TestStickyActions:
    @pytest.mark.parametrize(
        ("settings", "probability", "n_frames"),
        [
            ({}, 0.0, None),
            ({"sticky_actions": 0.25}, 0.25, None),
            ({"env_wrapper": partial(AtariWrapper, action_repeat_probability=0.3)}, 0.3, None),
            ({"env_wrapper": lambda env: wrap_atari(StickyAction(env, 0.4))}, 0.4, None),
            ({"env_wrapper": lambda env: StickyAction(wrap_atari(env), 0.5)}, 0.5, 4),
        ],
        ids=["none", "asked for", "SB3's", "inside", "outside of the frame skip"],
    )
    def test_are_read_from_emulator_and_wrappers(
        self, settings: dict[str, Any], probability: float, n_frames: int | None
    ) -> None:
        found = protocol(**settings)
        assert found["sticky_actions"] == pytest.approx(probability)
        assert found.get("sticky_frames") == n_frames

    def test_are_independent_of_the_id(self) -> None:
        assert protocol("ALE/Breakout-v5", env_kwargs={"frameskip": 1})["sticky_actions"] == 0.0

    def test_rejects_duplicates_and_durations(self) -> None:
        with pytest.raises(ValueError, match=r"0\.4, 0\.25"):
            protocol(sticky_actions=0.25, env_wrapper=lambda e: wrap_atari(StickyAction(e, 0.4)))
        with pytest.raises(ValueError, match=r"\(2, 3\)"):
            protocol(env_wrapper=lambda env: wrap_atari(StickyAction(env, 0.4, (2, 3))))


class TestLimits:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"max_frames": 120}, 120),
            ({"env_kwargs": {"max_episode_steps": 90}}, 90),
            ({"env_kwargs": {"max_episode_steps": 900}}, 200),
        ],
    )
    def test_smallest_limit_is_reported(self, settings: dict[str, Any], expected: int) -> None:
        found = protocol(**settings)
        assert found["max_frames"] == expected
        assert found["whole_games"] is False

    def test_termination_at_the_limit_is_not_cut_off(self) -> None:
        class OverAtItsLimit(gym.Wrapper[Any, Any, Any, Any]):
            def step(self, action: Any) -> Any:
                obs, reward, _, truncated, info = self.env.step(action)
                return obs, reward, truncated, truncated, info

        keeper = ScoreKeeper(OverAtItsLimit(gym.make("CartPole-v1", max_episode_steps=3)))
        keeper.reset(seed=0)
        while not keeper.over:
            keeper.step(0)
        assert (keeper.statistics.n_frames, keeper.statistics.was_cut_off) == (3, False)

    def test_full_games_are_reported_as_whole_games(self) -> None:
        assert protocol(max_frames=108_000)["whole_games"] is True

    def test_outer_time_limit_is_reported_separately(self) -> None:
        found = protocol(env_wrapper=lambda env: TimeLimit(wrap_atari(env), 20))
        assert found["time_limit"] == "20 steps of 4 frames from each reset"
        assert found["max_frames"] == 200
        assert found["whole_games"] is False

    def test_time_limit_of_other_environments_is_reported_in_steps(self) -> None:
        limited = protocol("CartPole-v1", env_wrapper=lambda env: TimeLimit(env, 6))
        assert limited == {"n_games": 1, "seed": 0, "epsilon": 0.0, "max_steps": 6}


class TestNoops:
    @pytest.mark.parametrize(
        ("env_wrapper", "expected"),
        [
            (wrap_atari, 30),
            (partial(wrap_atari, noop_max=0), 30),  # added by the evaluation
            (partial(wrap_atari, noop_max=7), 7),
            (partial(AtariWrapper, noop_max=9), 9),
            (lambda env: wrap_atari(NoopReset(env, noop_max=2), noop_max=3), 5),
            (partial(AtariPreprocessing, noop_max=11, grayscale_newaxis=True), 11),
        ],
    )
    def test_noops_of_wrappers_take_precedence(self, env_wrapper: Any, expected: int) -> None:
        assert protocol(env_wrapper=env_wrapper)["noop_max_frames"] == expected

    def test_noops_outside_the_frame_skip_count_four_frames(self) -> None:
        starts: list[int] = []

        class StartRecorder(gym.Wrapper[Any, Any, Any, Any]):
            def reset(self, **kwargs: Any) -> Any:
                obs, info = self.env.reset(**kwargs)
                starts.append(info["episode_frame_number"])
                return obs, info

        def wrapper(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            skipping = StartRecorder(NoopReset(ActionRepeat(env, frame_skip=4), noop_max=30))
            return wrap_atari(skipping, frame_skip=1, noop_max=0, fire_on_reset=False)

        found = protocol(n_games=6, env_wrapper=wrapper)
        assert found["noop_max_frames"] == 120
        assert 30 < max(starts) <= 120


class TestRules:
    def test_mode_and_difficulty_are_reported(self) -> None:
        usual = protocol()
        assert (usual["mode"], usual["difficulty"]) == ("default", "default")
        other = protocol(env_kwargs={"mode": 16, "difficulty": 1})
        assert (other["mode"], other["difficulty"]) == (16, 1)

    def test_action_space_and_frame_skip_are_reported(self) -> None:
        found = protocol(
            env_kwargs={"full_action_space": True}, env_wrapper=partial(wrap_atari, frame_skip=2)
        )
        assert found["full_action_space"] is True
        assert found["frames_per_step"] == 2

    def test_env_kwargs_of_other_environments_are_reported(self) -> None:
        desc = np.array([list("SF"), list("FG")])
        found = protocol("FrozenLake-v1", env_kwargs={"is_slippery": False, "map_name": None})
        assert found["env_kwargs"] == {"is_slippery": False, "map_name": None}
        described = protocol("FrozenLake-v1", env_kwargs={"desc": desc})["env_kwargs"]
        assert described == {"desc": [["S", "F"], ["F", "G"]]}
