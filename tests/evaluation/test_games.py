"""The one way in which a score is made."""

from __future__ import annotations

import json
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
from tests import naive
from tests.fakes import ScriptedPlayer, Tape

GAME = "SpaceInvadersNoFrameskip-v4"  # pays 5 to 200 and has 3 lives
PLAY = [1, 2, 1, 3, 0, 1, 4, 5, 2]


class Starts(gym.Wrapper[Any, Any, Any, Any]):
    """Records the frame at which each game starts."""

    def __init__(self, env: gym.Env[Any, Any], starts: list[int]) -> None:
        super().__init__(env)
        self.starts = starts

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**kwargs)
        self.starts.append(info["episode_frame_number"])
        return obs, info


class TestScores:
    def test_are_those_of_a_bare_emulator(self) -> None:
        """Whole games through all lives, unclipped, although the agent sees lives and signs."""
        tapes: list[Tape] = []

        def wrapper(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
            tapes.append(Tape(env))
            return wrap_atari(tapes[0])

        report = evaluate_games(
            ScriptedPlayer(PLAY),
            GAME,
            n_games=2,
            seed=3,
            epsilon=0.1,
            env_wrapper=wrapper,
            random_play=False,
        )
        games = tapes[0].games
        assert len(tapes) == 1
        assert len(games) == 2
        for score, length, actions in zip(report.scores, report.lengths, games, strict=True):
            assert naive.replay("space_invaders", actions) == (score, True)
            assert length == len(actions)
            assert score >= 30

    def test_a_game_depends_on_the_seed_and_its_number_only(self) -> None:
        class AlwaysRight(ScriptedPlayer):
            def __init__(self) -> None:
                super().__init__([2])

        evaluate = partial(evaluate_games, AlwaysRight(), GAME, epsilon=0.5, max_frames=600)
        short, long = evaluate(seed=1, n_games=1), evaluate(seed=1, n_games=3)
        assert long.scores[:1] == short.scores
        assert long.random_scores[:1] == short.random_scores
        assert long == evaluate(seed=1, n_games=3)
        assert long.scores != evaluate(seed=2, n_games=3).scores

    def test_epsilon_is_the_evaluations_own(self) -> None:
        class Counting(ScriptedPlayer):
            exploration_rate = 1.0  # what a training left behind

        player = Counting([0])
        report = evaluate_games(player, GAME, n_games=1, seed=0, epsilon=0.25, random_play=False)
        n_steps = report.lengths[0] / 4
        assert player.n_calls == pytest.approx(0.75 * n_steps, rel=0.1)

    def test_a_trained_dqn_does_not_explore(self) -> None:
        env = make_atari_env(GAME, seed=0)
        model = DQN(AtariCnnPolicy, env, buffer_size=10, learning_starts=5)
        scores = []
        for rate in (0.0, 1.0):
            model.exploration_rate = rate
            report = evaluate_games(model, GAME, n_games=1, seed=0, max_frames=200, epsilon=0.0)
            scores.append(report.lengths + report.scores)
        assert scores[0] == scores[1]

    def test_random_play_is_the_same_games_at_random(self) -> None:
        report = evaluate_games(
            ScriptedPlayer([0]), GAME, n_games=2, seed=4, epsilon=1.0, max_frames=600
        )
        assert report.scores == report.random_scores
        assert report.random_mean == np.mean(report.random_scores)


class TestPenalties:
    """Taxi pays -10 for picking up or putting down where it may not."""

    def test_they_are_counted_game_by_game(self) -> None:
        player = ScriptedPlayer([5, 0, 0, 0])
        report = evaluate_games(
            player, "Taxi-v4", n_games=3, seed=0, epsilon=0.0, penalty=-10, random_play=False
        )
        assert report.lengths == (200,) * 3
        for score, n_penalties in zip(report.scores, report.penalties, strict=True):
            assert score == -200 - 9 * n_penalties
        assert report.penalties == (50,) * 3  # it never has a passenger to put down
        json.dumps(report.as_dict())
        assert report.mean_penalties == np.mean(report.penalties)
        assert f"length: 200.0 steps a game, penalties: {report.mean_penalties:.2f}" in str(report)
        assert report.protocol["penalty"] == -10
        assert report.as_dict()["penalties"] == report.penalties

    def test_they_are_left_out_unless_asked_for(self) -> None:
        player = ScriptedPlayer([4])
        report = evaluate_games(player, "Taxi-v4", n_games=2, seed=0, random_play=False)
        assert report.penalties == ()
        assert report.mean_penalties is None
        assert report.mean_length == 200
        assert "penalties" not in str(report) + str(report.protocol)
        assert "length: 200.0 steps a game" in str(report)
        game = GamesReport("Pong", (1.0,), (40,), (), {"max_frames": 100})
        assert "length: 40.0 frames a game" in game.summary()


class TestSmallEnvironments:
    def test_the_limit_of_the_id_is_in_the_protocol(self) -> None:
        player = ScriptedPlayer([0])
        for max_frames, limit in ((108_000, 200), (50, 50)):
            report = evaluate_games(
                player, "Taxi-v4", n_games=1, seed=0, max_frames=max_frames, random_play=False
            )
            assert report.protocol["max_steps"] == limit
            assert report.lengths == (limit,)

    def test_sticky_actions_are_for_games(self) -> None:
        with pytest.raises(ValueError, match=r"sticky_actions.*Taxi-v4"):
            evaluate_games(ScriptedPlayer([0]), "Taxi-v4", seed=0, sticky_actions=0.25)

    def test_a_long_report_shows_a_hundred_scores(self) -> None:
        report = evaluate_games(
            *(ScriptedPlayer([0]), "Taxi-v4"),
            n_games=101,
            seed=0,
            max_frames=1,
            epsilon=0.0,
            random_play=False,
        )
        (scores,) = [line for line in str(report).split("\n") if line.startswith("scores: ")]
        assert scores == "scores: " + "-1 " * 100 + "..."


class TestProtocol:
    @pytest.mark.parametrize("noop_max", [0, 7])
    def test_no_ops_are_added_where_the_training_had_none(self, noop_max: int) -> None:
        starts: list[int] = []
        report = evaluate_games(
            ScriptedPlayer([0]),
            GAME,
            n_games=6,
            seed=0,
            max_frames=60,
            env_wrapper=lambda env: Starts(
                wrap_atari(env, noop_max=noop_max, fire_on_reset=False), starts
            ),
        )
        assert report.protocol["noop_max_frames"] == (noop_max or 30)
        assert 1 <= min(starts) < max(starts) <= (noop_max or 30)
        assert len(set(starts)) > 2

    def test_a_game_cut_off_while_fire_is_pressed_counts(self) -> None:
        """The first life is lost at frame 129; the FIRE after it ends at 133."""
        games = {}
        for max_frames in (131, 108_000):
            tapes: list[Tape] = []

            def wrapper(env: gym.Env[Any, Any], tapes: list[Tape] = tapes) -> Any:
                tapes.append(Tape(env))
                return wrap_atari(tapes[0])

            report = evaluate_games(
                ScriptedPlayer([0]),
                "BreakoutNoFrameskip-v4",
                n_games=1,
                seed=0,
                epsilon=0.0,
                max_frames=max_frames,
                env_wrapper=wrapper,
                random_play=False,
            )
            games[max_frames] = report.lengths[0], tapes[0].games[0]
            after_the_end = [action for game in tapes[0].games[1:] for action in game]
            assert len(after_the_end) <= 30 + 4  # no-ops and a FIRE at most, not counted
        assert games[131][0] == 131
        assert games[131][1] == games[108_000][1][:131]  # the same game, not the next one

    def test_rules_of_the_protocol_are_not_env_kwargs(self) -> None:
        play = partial(evaluate_games, ScriptedPlayer([0]), GAME, n_games=1, seed=0)
        for name, value, instead in (
            ("max_num_frames_per_episode", 4000, "max_frames"),
            ("repeat_action_probability", 0.25, "sticky_actions"),
        ):
            with pytest.raises(ValueError, match=rf"{name}={value}.*{instead}="):
                play(env_kwargs={name: value})
        report = play(max_frames=100, env_kwargs={"obs_type": "rgb"})
        assert report.lengths == (100,)
        assert report.protocol["screens"] == "rgb"

    def test_games_that_skip_by_themselves_start_within_thirty_frames(self) -> None:
        starts: list[int] = []
        report = evaluate_games(
            ScriptedPlayer([0]),
            "SpaceInvadersDeterministic-v4",
            n_games=9,
            seed=0,
            max_frames=60,
            env_wrapper=lambda env: wrap_atari(Starts(env, starts), noop_max=0, frame_skip=1),
        )
        assert report.protocol["noop_max_frames"] == 28
        assert max(starts) <= 28
        assert len(set(starts)) > 3
        assert set(report.lengths) == {60}  # frames, not steps

    @pytest.mark.timeout(60)
    def test_sticky_actions_only_if_asked(self) -> None:
        """Also for an id that has them."""
        evaluate = partial(
            evaluate_games,
            ScriptedPlayer(PLAY),
            "ALE/SpaceInvaders-v5",
            n_games=1,
            seed=0,
            max_frames=1000,
            epsilon=0.0,
            random_play=False,
            env_kwargs={"frameskip": 1},
        )
        plain = evaluate_games(
            ScriptedPlayer(PLAY), GAME, n_games=1, seed=0, max_frames=1000, epsilon=0.0
        )
        assert evaluate().scores == plain.scores
        sticky = evaluate(sticky_actions=0.9)
        assert (sticky.lengths, sticky.scores) != (plain.lengths, plain.scores)

    def test_the_report_says_it_all(self) -> None:
        report = evaluate_games(ScriptedPlayer([0]), GAME, n_games=2, seed=0, max_frames=200)
        text = str(report)
        for expected in (
            f"{GAME}: {report.mean:.2f} +- {report.std:.2f} (mean +- SD of 2 games)",
            "random play:",
            "scores:",
            "n_games 2, seed 0, epsilon 0.05, max_frames 200, frames_per_step 4,"
            " noop_max_frames 30, sticky_actions 0.0, mode default, difficulty default,"
            " full_action_space False, screens grayscale, whole_games False, clipped False",
        ):
            assert expected in text
        assert json.loads(json.dumps(report.as_dict()))["scores"] == list(report.scores)
        assert report.std == np.std(report.scores)

    @pytest.mark.timeout(60)
    def test_small_environments_work_as_well(self) -> None:
        report = evaluate_games(ScriptedPlayer([0]), "CartPole-v1", n_games=3, seed=0, epsilon=0.0)
        assert all(8 <= score <= 11 for score in report.scores)
        assert report.lengths == tuple(int(score) for score in report.scores)
        assert report.protocol == {
            "n_games": 3,
            "seed": 0,
            "epsilon": 0.0,
            "max_steps": 500,
        }
        endless = evaluate_games(
            ScriptedPlayer([0]), "CliffWalking-v1", n_games=1, seed=0, max_frames=50, epsilon=0.0
        )
        assert endless.lengths == (50,)
        assert endless.scores == (-50.0,)


class TestModels:
    @pytest.mark.timeout(60)
    def test_a_wrapper_that_restarts_the_game_is_refused(self) -> None:
        class RestartAtLostLife(gym.Wrapper[Any, Any, Any, Any]):
            lives = 0

            def step(self, action: Any) -> Any:
                obs, reward, terminated, truncated, info = self.env.step(action)
                lost, self.lives = info["lives"] < self.lives, info["lives"]
                return obs, reward, terminated or lost, truncated, info

        with pytest.raises(ValueError, match="restarts the game when an episode ends"):
            evaluate_games(
                ScriptedPlayer([0]),
                GAME,
                n_games=1,
                seed=0,
                env_wrapper=lambda env: RestartAtLostLife(
                    wrap_atari(env, terminal_on_life_loss=False)
                ),
            )

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"n_games": 0}, "n_games must be at least 1, got 0"),
            ({"epsilon": 1.5}, r"epsilon.* 1\.5"),
            ({"sticky_actions": -0.1}, r"sticky_actions.* -0\.1"),
            ({"max_frames": 0}, "max_frames must be at least 1, got 0"),
            ({"seed": -1}, "seed must be at least 0, got -1"),
            ({"penalty": float("nan")}, "penalty .* nan"),
        ],
    )
    def test_a_wrong_number_is_named(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            evaluate_games(ScriptedPlayer([0]), GAME, **{"seed": 0, **kwargs})

    def test_grey_screens_are_the_default_as_in_make_atari_env(self) -> None:
        seen: dict[str, list[Any]] = {"evaluated": [], "trained": []}

        class Looking(ScriptedPlayer):
            observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)

            def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
                seen["evaluated"].append(observation)
                return super().predict(observation, deterministic=deterministic)

        game = "MsPacmanNoFrameskip-v4"  # its sprites flicker: colours would differ
        evaluate_games(
            Looking([2]),
            game,
            n_games=1,
            seed=0,
            epsilon=0.0,
            max_frames=700,
            random_play=False,
            env_wrapper=partial(wrap_atari, n_stack=4),
        )
        env = make_atari_env(game, env_kwargs={"max_num_frames_per_episode": 700})
        env.seed(int(np.random.default_rng([0, 0]).integers(2**31)))
        seen["trained"].append(env.reset())
        while len(seen["trained"]) < len(seen["evaluated"]):
            seen["trained"].append(env.step([2])[0])
        assert len(seen["evaluated"]) > 50
        for ours, theirs in zip(seen["evaluated"], seen["trained"], strict=True):
            np.testing.assert_array_equal(np.moveaxis(ours, -1, 1), theirs)
