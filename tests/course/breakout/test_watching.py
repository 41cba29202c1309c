"""Whole games of players whose habits are known."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_course import make_atari_env, wrap_atari
from sb3_atari_course.course.breakout import BreakoutWatch, read_state, watch_games
from tests.course.breakout.players import (
    FIRE,
    LEFT,
    NOOP,
    WHOLE_SCREEN,
    Follower,
    dig_tunnel,
    follow,
    loose_pixels,
    standing_bricks,
)
from tests.fakes import ScriptedPlayer


class TestWhoBeginsALife:
    def test_one_who_never_fires_never_plays(self) -> None:
        report = watch_games(
            ScriptedPlayer([NOOP, LEFT]), n_games=2, seed=0, forced_fire=False, max_frames=400
        )
        assert report.scores == (0.0, 0.0)
        assert [life.by for life in report.lives] == ["nobody", "nobody"]
        # up to 30 of the 400 frames are no-ops of the start, the others steps of 4
        assert all(92 <= life.n_waited <= 100 for life in report.lives)
        assert report.fired_share == 0.0
        assert (report.wait, report.distance, report.from_above_share) == (None, None, None)
        assert (report.bricks, report.longest_rally, report.n_capped) == (0.0, 0, 2)

    def test_one_who_always_fires_never_waits(self) -> None:
        report = watch_games(ScriptedPlayer([FIRE]), n_games=2, seed=0, forced_fire=False)
        assert [life.by for life in report.lives] == ["agent"] * 10  # five lives a game
        assert (report.fired_share, report.wait, report.n_capped) == (1.0, 0.0, 0)

    def test_steps_of_waiting_are_agent_steps(self) -> None:
        player = ScriptedPlayer([NOOP, NOOP, NOOP, FIRE, *[NOOP] * 1000])
        report = watch_games(player, n_games=1, seed=0, forced_fire=False, max_frames=200)
        assert (report.lives[0].n_waited, report.lives[0].by) == (3, "agent")

    def test_a_random_fire_is_not_the_agents_own(self) -> None:
        report = watch_games(
            ScriptedPlayer([NOOP]), n_games=1, seed=0, forced_fire=False, epsilon=0.5
        )
        assert [life.by for life in report.lives] == ["chance"] * 5
        assert (report.fired_share, report.wait) == (0.0, None)

    @pytest.mark.parametrize("action", [NOOP, FIRE])  # FIRE begins lives before it is forced
    def test_with_forced_fire_nobody_is_asked(self, action: int) -> None:
        report = watch_games(ScriptedPlayer([action]), n_games=1, seed=0)
        assert report.lives == ()
        assert (report.fired_share, report.n_capped) == (None, 0)
        assert "FIRE is forced" in str(report)


class TestPlay:
    def test_one_who_follows_the_ball_is_near_it_and_returns_it(self) -> None:
        follower = watch_games(
            Follower(fires=False), n_games=1, seed=0, wrapper_kwargs=WHOLE_SCREEN
        )
        stands_still = watch_games(ScriptedPlayer([NOOP]), n_games=1, seed=0)
        assert follower.distance is not None
        assert stands_still.distance is not None
        assert follower.distance < 16 < 20 < stands_still.distance
        assert follower.longest_rally > 5 > stands_still.longest_rally
        assert follower.score > 10 > stands_still.score

    def test_one_game_does_not_depend_on_how_many_are_played(self) -> None:
        player = ScriptedPlayer([NOOP])
        one, two = (
            watch_games(player, n_games=n, seed=3, epsilon=0.5, max_frames=500) for n in (1, 2)
        )
        assert two.games[0] == one.games[0]
        assert two.games[1] != one.games[0]
        other = watch_games(player, n_games=1, seed=4, epsilon=0.5, max_frames=500)
        assert other.games[0] != one.games[0]

    def test_counts_are_those_of_the_pixels(self) -> None:
        watch = BreakoutWatch(gym.make("BreakoutNoFrameskip-v4"))
        screen, _ = watch.reset(seed=0)
        rows = [0.0, 0.0]  # of what was seen of the ball
        n_bricks = n_paid = n_from_above = 0
        wall = standing_bricks(screen)
        rng, aim = np.random.default_rng(1), 0
        for frame in range(1500):
            if frame % 120 == 0:
                aim = int(rng.integers(-5, 6))
            action = follow(watch.unwrapped.ale.getRAM(), aim)
            screen, reward, terminated, _, _ = watch.step(action)
            assert not terminated
            if reward:
                n_paid += 1
                before, wall = wall, standing_bricks(screen)
                n_bricks += int((before & ~wall).sum())
                n_from_above += rows[-1] > rows[-2]
            if n_paid == 1 and wall.sum() == 107:
                dig_tunnel(watch)
                watch.state = read_state(watch)  # so that our digging is not counted
                wall = watch.state.bricks
            ball = loose_pixels(screen, wall)
            if ball:
                rows.append(float(np.mean([y for y, _ in ball])))
        tally = watch.tally
        assert (tally.n_bricks, tally.n_from_above) == (n_bricks, n_from_above)
        assert n_bricks == n_paid
        assert n_from_above > 5

    def test_without_chance_there_are_four_different_games(self) -> None:
        player = ScriptedPlayer([NOOP])
        report = watch_games(player, n_games=12, seed=0, wrapper_kwargs={"shape": (8, 8)})
        assert len({tuple(game.distances) for game in report.games}) == 4

    def test_a_game_that_is_cut_off_inside_a_forced_fire_is_over(self) -> None:
        ends: list[int] = []

        class Tape(gym.Wrapper[Any, Any, Any, Any]):
            def step(self, action: Any) -> Any:
                result = self.env.step(action)
                if result[2]:
                    ends.append(result[4]["episode_frame_number"])
                return result

        env = wrap_atari(gym.make("BreakoutNoFrameskip-v4"), fire_on_reset=False)
        env = Tape(env)
        env.reset(seed=int(np.random.default_rng([0, 0]).integers(2**31)))
        env.step(FIRE)
        while not ends:
            env.step(NOOP)
        report = watch_games(ScriptedPlayer([NOOP]), n_games=1, seed=0, max_frames=ends[0] + 2)
        assert [game.n_frames for game in report.games] == [ends[0] + 2]
        assert report.n_capped == 1


class TestReport:
    def test_the_text_has_the_numbers_and_their_units(self) -> None:
        report = watch_games(ScriptedPlayer([FIRE]), n_games=1, seed=0, forced_fire=False)
        text = str(report)
        assert "begins lives itself: 100% of 5, after 0.0 steps" in text
        assert f"follows the ball: {report.distance:.1f} pixels away" in text
        assert f"bricks: {report.bricks:.1f} a game" in text
        assert "cut off: 0 of 1 games" in text
        assert "epsilon 0.0, forced_fire False, max_frames 18000" in text

    def test_it_is_plain_values_too(self) -> None:
        numbers = watch_games(ScriptedPlayer([NOOP]), n_games=1, seed=0, max_frames=400).as_dict()
        assert numbers["n_capped"] == 1
        assert numbers["protocol"]["max_frames"] == 400


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"n_games": 0}, "n_games must be at least 1, got 0"),
            ({"epsilon": 1.5}, r"epsilon.* 1\.5"),
            ({"max_frames": 0}, "max_frames must be at least 1, got 0"),
            ({"wrapper_kwargs": {"fire_on_reset": True}}, "forced_fire"),
        ],
    )
    def test_are_named(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            watch_games(ScriptedPlayer([NOOP]), **{"seed": 0, **kwargs})

    def test_a_model_that_reads_other_pictures_is_refused(self) -> None:
        player = ScriptedPlayer([NOOP])
        player.observation_space = make_atari_env("BreakoutNoFrameskip-v4").observation_space
        watch_games(player, n_games=1, seed=0, max_frames=100)
        with pytest.raises(ValueError, match=r"\(4, 84, 84\).*\(42, 42, 4\)"):
            watch_games(player, seed=0, wrapper_kwargs={"shape": (42, 42)})

    def test_another_game_cannot_be_watched(self) -> None:
        with pytest.raises(ValueError, match="only Breakout"):
            BreakoutWatch(gym.make("PongNoFrameskip-v4"))

    def test_a_game_that_skips_frames_cannot_be_watched(self) -> None:
        with pytest.raises(ValueError, match="plays 4 a step"):
            BreakoutWatch(gym.make("ALE/Breakout-v5"))
