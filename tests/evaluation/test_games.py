"""evaluate_games: scores of full games, report, protocol."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN

from sb3_atari_course import (
    AtariCnnPolicy,
    GamesReport,
    evaluate_games,
    make_atari_env,
    wrap_atari,
)
from sb3_atari_course._common import progress
from tests import naive
from tests.fakes import ActionRecorder, ScriptedPlayer

BREAKOUT = "BreakoutNoFrameskip-v4"
GAME = "SpaceInvadersNoFrameskip-v4"  # rewards of 5 to 200 and 3 lives
PLAY = [1, 2, 1, 3, 0, 1, 4, 5, 2]


class Starts(gym.Wrapper[Any, Any, Any, Any]):
    """Records the emulator frame at which each game starts."""

    def __init__(self, env: gym.Env[Any, Any], starts: list[int]) -> None:
        super().__init__(env)
        self.starts = starts

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**kwargs)
        self.starts.append(info["episode_frame_number"])
        return obs, info


def evaluate(model: Any, env_id: str = GAME, **settings: Any) -> GamesReport:
    """Return the report of one game, by default without random actions and random play."""
    defaults = {"n_games": 1, "seed": 0, "epsilon": 0.0, "random_play": False}
    return evaluate_games(model, env_id, **{**defaults, **settings})


class AlwaysRight(ScriptedPlayer):
    def __init__(self) -> None:
        super().__init__([2])


class TestScores:
    def test_match_a_bare_emulator(self) -> None:
        """Full games with unclipped rewards, although the wrappers split lives and clip rewards."""
        tapes: list[ActionRecorder] = []

        def wrapper(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            tapes.append(ActionRecorder(env))
            return wrap_atari(tapes[0])

        settings = {"n_games": 2, "n_envs": 1, "seed": 3, "epsilon": 0.1}
        report = evaluate(ScriptedPlayer(PLAY), env_wrapper=wrapper, **settings)
        games = tapes[0].games
        assert len(tapes) == 1
        assert len(games) == 2
        for score, length, actions in zip(report.scores, report.lengths, games, strict=True):
            assert naive.replay("space_invaders", actions) == (score, True)
            assert length == len(actions)
            assert score >= 30

    def test_game_depends_only_on_seed_and_index(self) -> None:
        play = partial(evaluate, AlwaysRight(), epsilon=0.5, max_frames=600, random_play=True)
        short, long = play(seed=1), play(seed=1, n_games=3)
        assert long.scores[:1] == short.scores
        assert long.random_scores[:1] == short.random_scores
        assert long == play(seed=1, n_games=3)
        assert long.scores != play(seed=2, n_games=3).scores

    def test_epsilon_is_independent_of_training(self) -> None:
        class ExploringPlayer(ScriptedPlayer):
            exploration_rate = 1.0  # left over from training

        player = ExploringPlayer([0])
        report = evaluate(player, epsilon=0.25)
        n_steps = report.lengths[0] / 4
        assert player.n_calls == pytest.approx(0.75 * n_steps, rel=0.1)

    def test_exploration_rate_of_the_model_is_ignored(self) -> None:
        model = DQN(AtariCnnPolicy, make_atari_env(GAME, seed=0), buffer_size=10)
        scores = []
        for rate in (0.0, 1.0):
            model.exploration_rate = rate
            report = evaluate(model, max_frames=200)
            scores.append(report.lengths + report.scores)
        assert scores[0] == scores[1]

    def test_random_play_uses_the_same_games(self) -> None:
        settings = {"n_games": 2, "seed": 4, "max_frames": 600, "random_play": True}
        report = evaluate(ScriptedPlayer([0]), epsilon=1.0, **settings)
        assert report.scores == report.random_scores
        assert report.random_mean == np.mean(report.random_scores)


class TestReport:
    def test_penalties_are_counted_per_game(self) -> None:
        """Taxi's reward for an illegal pickup or drop-off is -10."""
        report = evaluate(ScriptedPlayer([5, 0, 0, 0]), "Taxi-v4", n_games=3, penalty=-10)
        assert report.lengths == (200,) * 3
        assert report.penalties == (50,) * 3  # there is never a passenger to drop off
        assert report.scores == (-200 - 9 * 50,) * 3
        assert report.mean_penalties == 50
        assert "penalties: 50.00" in str(report)
        assert report.protocol["penalty"] == -10
        assert json.loads(json.dumps(report.as_dict()))["penalties"] == [50] * 3

    def test_penalties_are_not_reported_by_default(self) -> None:
        report = evaluate(ScriptedPlayer([4]), "Taxi-v4", n_games=2)
        assert report.penalties == ()
        assert report.mean_penalties is None
        assert "penalties" not in str(report) + str(report.protocol)

    def test_long_report_prints_a_hundred_scores(self) -> None:
        report = evaluate(ScriptedPlayer([0]), "Taxi-v4", n_games=101, max_frames=1)
        assert "scores: " + "-1 " * 100 + "...\n" in str(report)

    def test_atari_report_has_the_protocol_and_lengths_in_frames(self) -> None:
        report = evaluate(ScriptedPlayer([0]), n_games=2, max_frames=200, random_play=True)
        assert report.protocol == {
            "n_games": 2,
            "seed": 0,
            "epsilon": 0.0,
            "max_frames": 200,
            "frames_per_step": 4,
            "noop_max_frames": 30,
            "sticky_actions": 0.0,
            "mode": "default",
            "difficulty": "default",
            "full_action_space": False,
            "screens": "grayscale",
            "whole_games": False,
            "clipped": False,
        }
        assert report.mean_length == 200
        assert report.std == np.std(report.scores)
        for shown in (f"{report.mean:.2f} +- {report.std:.2f}", "200.0 frames", "random play"):
            assert shown in str(report)
        assert json.loads(json.dumps(report.as_dict()))["scores"] == list(report.scores)

    @pytest.mark.timeout(60)
    def test_report_of_another_environment_has_lengths_in_steps(self) -> None:
        report = evaluate(ScriptedPlayer([0]), "CartPole-v1", n_games=3)
        assert all(8 <= score <= 11 for score in report.scores)
        assert report.lengths == tuple(int(score) for score in report.scores)
        assert report.protocol == {"n_games": 3, "seed": 0, "epsilon": 0.0, "max_steps": 500}
        endless = evaluate(ScriptedPlayer([0]), "CliffWalking-v1", max_frames=50)
        assert (endless.lengths, endless.scores) == ((50,), (-50.0,))
        assert "50.0 steps" in str(endless)


class TestProtocol:
    @pytest.mark.parametrize("noop_max", [0, 7])
    def test_noops_are_added_if_the_wrapper_has_none(self, noop_max: int) -> None:
        starts: list[int] = []
        report = evaluate(
            ScriptedPlayer([0]),
            n_games=6,
            max_frames=60,
            env_wrapper=lambda env: Starts(
                wrap_atari(env, noop_max=noop_max, fire_on_reset=False), starts
            ),
        )
        assert report.protocol["noop_max_frames"] == (noop_max or 30)
        assert 1 <= min(starts) < max(starts) <= (noop_max or 30)
        assert len(set(starts)) > 2

    def test_noops_of_frame_skipping_ids_stay_within_thirty_frames(self) -> None:
        starts: list[int] = []
        report = evaluate(
            ScriptedPlayer([0]),
            "SpaceInvadersDeterministic-v4",
            n_games=9,
            max_frames=60,
            env_wrapper=lambda env: wrap_atari(Starts(env, starts), noop_max=0, frame_skip=1),
        )
        assert report.protocol["noop_max_frames"] == 28
        assert max(starts) <= 28
        assert len(set(starts)) > 3
        assert set(report.lengths) == {60}  # frames, not steps

    def test_game_cut_off_during_fire_reset_is_scored(self) -> None:
        """The first life is lost at frame 129; the FIRE after it ends at 133."""
        games = {}
        for max_frames in (131, 108_000):
            tapes: list[ActionRecorder] = []

            def wrapper(env: gym.Env[Any, Any], tapes: list[ActionRecorder] = tapes) -> Any:
                tapes.append(ActionRecorder(env))
                return wrap_atari(tapes[0])

            report = evaluate(
                ScriptedPlayer([0]), BREAKOUT, max_frames=max_frames, env_wrapper=wrapper
            )
            games[max_frames] = report.lengths[0], tapes[0].games[0]
            after_the_end = [action for game in tapes[0].games[1:] for action in game]
            assert len(after_the_end) <= 30 + 4  # at most no-ops and a FIRE, not counted
        assert games[131][0] == 131
        assert games[131][1] == games[108_000][1][:131]  # the same game, not the next one

    @pytest.mark.timeout(60)
    def test_sticky_actions_are_off_by_default(self) -> None:
        """Also for an id with sticky actions."""
        sticky_id = {"env_id": "ALE/SpaceInvaders-v5", "env_kwargs": {"frameskip": 1}}
        plain, still, sticky = (
            evaluate(ScriptedPlayer(PLAY), max_frames=1000, **settings)
            for settings in ({}, sticky_id, {**sticky_id, "sticky_actions": 0.9})
        )
        assert still.scores == plain.scores
        assert (sticky.lengths, sticky.scores) != (plain.lengths, plain.scores)

    @pytest.mark.timeout(60)
    def test_rejects_wrappers_that_restart_the_game(self) -> None:
        class RestartAtLifeLoss(gym.Wrapper[Any, Any, Any, Any]):
            lives = 0

            def step(self, action: Any) -> Any:
                obs, reward, terminated, truncated, info = self.env.step(action)
                lost, self.lives = info["lives"] < self.lives, info["lives"]
                return obs, reward, terminated or lost, truncated, info

        def wrapper(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            return RestartAtLifeLoss(wrap_atari(env, terminal_on_life_loss=False))

        with pytest.raises(ValueError, match="restarts the game"):
            evaluate(ScriptedPlayer([0]), env_wrapper=wrapper)

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"n_games": 0}, "n_games .* 0"),
            ({"epsilon": 1.5}, r"epsilon.* 1\.5"),
            ({"sticky_actions": -0.1}, r"sticky_actions.* -0\.1"),
            ({"max_frames": 0}, "max_frames .* 0"),
            ({"seed": -1}, "seed .* -1"),
            ({"penalty": float("nan")}, "penalty .* nan"),
            ({"env_id": "Taxi-v4", "sticky_actions": 0.25}, "sticky_actions.*Taxi-v4"),
            ({"env_kwargs": {"max_num_frames_per_episode": 40}}, "episode=40.*max_frames="),
            ({"env_kwargs": {"repeat_action_probability": 1}}, "probability=1.*sticky_actions="),
        ],
    )
    def test_rejects_invalid_values(self, settings: dict[str, Any], named: str) -> None:
        with pytest.raises(ValueError, match=named):
            evaluate(ScriptedPlayer([0]), **settings)


def test_grayscale_frames_are_the_default() -> None:
    seen: list[Any] = []

    class ObservingPlayer(AlwaysRight):
        observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)

        def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
            seen.append(observation)
            return super().predict(observation, deterministic=deterministic)

    game = "MsPacmanNoFrameskip-v4"  # flickering sprites: RGB screens would give other frames
    evaluate(ObservingPlayer(), game, max_frames=700, env_wrapper=partial(wrap_atari, n_stack=4))
    env = make_atari_env(game, env_kwargs={"max_num_frames_per_episode": 700})
    env.seed(int(np.random.default_rng([0, 0]).integers(2**31)))
    trained = [env.reset()]
    while len(trained) < len(seen):
        trained.append(env.step(np.array([2]))[0])
    assert len(seen) > 50
    for ours, theirs in zip(seen, trained, strict=True):
        np.testing.assert_array_equal(np.moveaxis(ours, -1, 1), theirs)


class SlowPlayer(AlwaysRight):
    def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
        time.sleep(0.02)
        return np.zeros(len(observation), int), None


class TestProgress:
    @pytest.fixture(autouse=True)
    def _short_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress, "INTERVAL", 0.01)

    @pytest.mark.parametrize("random_play", [True, False])
    def test_is_shown_on_stderr(
        self, random_play: bool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = {"n_games": 2, "random_play": random_play, "progress_bar": True}
        evaluate(SlowPlayer(), "CartPole-v1", **settings)
        printed = capsys.readouterr()
        assert "Evaluating: 0 of 2 games" in printed.err
        assert "Evaluating: 1 of 2 games" in printed.err
        assert printed.out == ""

    def test_agent_and_random_actions_have_a_bar_each(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[progress.Progress] = []

        class Recorded(progress.Progress):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                shown.append(self)

        monkeypatch.setattr("sb3_atari_course.evaluation.games.Progress", Recorded)
        evaluate(SlowPlayer(), "CartPole-v1", n_games=3, random_play=True, progress_bar=True)
        assert [(bar.description, bar.total, bar.n) for bar in shown] == [
            ("Evaluating", 3, 3),
            ("Evaluating random actions", 3, 3),
        ]

    def test_is_not_shown_unless_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        evaluate(SlowPlayer(), "CartPole-v1", n_games=2, random_play=True)
        printed = capsys.readouterr()
        assert (printed.out, printed.err) == ("", "")

    def test_rejects_a_progress_bar_that_is_not_a_bool(self) -> None:
        with pytest.raises(TypeError, match="progress_bar"):
            evaluate(AlwaysRight(), "CartPole-v1", progress_bar=1)
