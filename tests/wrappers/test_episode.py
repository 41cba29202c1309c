"""Tests of no-op resets, life loss as terminal, and FIRE on reset."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_course.wrappers import ActionRepeat, FireOnReset, LifeLossTerminal, NoopReset
from tests.fakes import FakeGame, pixel

NOOP, FIRE, RIGHT = 0, 1, 2


class TestNoopReset:
    def test_plays_one_to_noop_max_noops(self) -> None:
        counts = set()
        for seed in range(60):
            game = FakeGame()
            obs, info = NoopReset(game, noop_max=5).reset(seed=seed)
            assert game.tape == [f"reset({seed})", *[NOOP] * info["frame"]]
            assert pixel(obs) == (1, info["frame"], 100 - info["frame"])
            counts.add(info["frame"])
        assert counts == {1, 2, 3, 4, 5}

    def test_seed_determines_the_number_of_noops(self) -> None:
        def frames(seed: int) -> list[int]:
            env = NoopReset(FakeGame(), noop_max=30)
            return [env.reset(seed=seed)[1]["frame"], *(env.reset()[1]["frame"] for _ in range(9))]

        assert frames(1) == frames(1)
        assert frames(1) != frames(2)
        assert len(set(frames(1))) > 3  # and not the same number each time

    def test_noop_max_zero_plays_no_noops(self) -> None:
        game = FakeGame()
        assert pixel(NoopReset(game, noop_max=0).reset(seed=1)[0]) == (1, 0, 100)
        assert game.tape == ["reset(1)"]

    def test_resets_again_if_the_noops_end_the_game(self) -> None:
        game = FakeGame(ends_at=3)
        env = NoopReset(game, noop_max=30)
        for seed in range(5):
            env.reset(seed=seed)
            assert 0 <= game.frame < 3
        assert "reset" in game.tape  # unseeded: the same seed would end the same way

    def test_finds_the_noop_action_by_name(self) -> None:
        game = FakeGame(meanings=("FIRE", "NOOP"))
        NoopReset(game, noop_max=1).reset(seed=0)
        assert game.tape == ["reset(0)", 1]

    def test_games_without_noop_are_unchanged(self) -> None:
        game = FakeGame(meanings=("FIRE", "RIGHT"))
        assert pixel(NoopReset(game).reset(seed=1)[0]) == (1, 0, 100)
        assert game.tape == ["reset(1)"]
        NoopReset(gym.make("CartPole-v1")).reset(seed=0)


class GameOfOptions(FakeGame):
    """Records the options of each reset."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.options.append(options)
        return super().reset(seed=seed)


class TestOptions:
    OPTIONS: ClassVar[dict[str, int]] = {"mode": 3}

    @pytest.mark.parametrize("wrapper", [NoopReset, LifeLossTerminal, FireOnReset])
    def test_reach_the_game(self, wrapper: Any) -> None:
        game = GameOfOptions()
        wrapper(game).reset(options=self.OPTIONS)
        assert game.options == [self.OPTIONS]

    def test_reset_the_game_after_a_life_loss(self) -> None:
        game = GameOfOptions(lives=[2, 1])
        env = LifeLossTerminal(game)
        env.reset()
        assert env.step(NOOP)[2]
        assert pixel(env.reset(options=self.OPTIONS)[0]) == (2, 0, 100)
        assert game.options == [None, self.OPTIONS]
        assert env.step(NOOP)[2]
        assert pixel(env.reset(seed=5)[0]) == (3, 0, 100)  # so does a seed
        assert game.tape[-1] == "reset(5)"
        assert env.step(NOOP)[2]
        env.reset(options={})  # none: the game continues
        assert game.options == [None, self.OPTIONS, None]

    @pytest.mark.parametrize("wrap", [partial(NoopReset, noop_max=1), FireOnReset])
    def test_apply_to_the_repeated_reset_if_the_game_ends_inside_it(self, wrap: Any) -> None:
        game = GameOfOptions(ends_at=1)
        wrap(game).reset(seed=4, options=self.OPTIONS)
        assert len(game.options) > 1
        assert game.options == [self.OPTIONS] * len(game.options)
        assert game.tape.count("reset(4)") == 1


class TestLifeLossTerminal:
    def test_life_loss_ends_the_episode_and_the_game_continues(self) -> None:
        game = FakeGame(lives=[3, 3, 2, 2, 1])
        env = LifeLossTerminal(game)
        env.reset()
        assert env.step(RIGHT)[2] is False
        obs, _, terminated, truncated, info = env.step(RIGHT)
        assert (terminated, truncated, info["lives"]) == (True, False, 2)
        again, info = env.reset()
        assert game.tape == ["reset", RIGHT, RIGHT]  # no step, no reset
        np.testing.assert_array_equal(again, obs)
        assert info == {"frame": 2, "lives": 2}
        assert [env.step(RIGHT)[2] for _ in range(2)] == [False, True]

    def test_changing_the_last_frame_does_not_change_the_reset_observation(self) -> None:
        env = LifeLossTerminal(FakeGame(lives=[2, 1], reuse_array=True))
        env.reset()
        obs, *_, info = env.step(NOOP)
        obs[:] = 77
        info["terminal_observation"] = "SB3 puts it there"
        again, info = env.reset()
        assert pixel(again) == (1, 1, 99)
        assert info == {"frame": 1, "lives": 1}

    def test_game_over_resets_the_game(self) -> None:
        game = FakeGame(lives=[2, 1, 1, 0], ends_at=3)
        env = LifeLossTerminal(game)
        env.reset()
        env.step(NOOP)
        env.reset()
        assert [env.step(NOOP)[2] for _ in range(2)] == [False, True]
        assert pixel(env.reset()[0]) == (2, 0, 100)
        assert env.step(NOOP)[2] is True  # the lives of the new game are counted from its start

    def test_life_loss_in_the_last_frame_of_a_game_resets_the_game(self) -> None:
        game = FakeGame(lives=[2, 1], truncated_at=1)
        env = LifeLossTerminal(game)
        env.reset()
        assert env.step(NOOP)[2:4] == (False, True)
        env.reset()
        assert game.tape == ["reset", NOOP, "reset"]

    def test_reset_in_the_middle_of_a_life_resets_the_game(self) -> None:
        game = FakeGame(lives=[2, 1])
        env = LifeLossTerminal(game)
        env.reset()
        env.step(NOOP)
        env.reset()  # continues the game
        env.step(NOOP)
        env.reset()  # resets it
        assert game.tape == ["reset", NOOP, NOOP, "reset"]

    @pytest.mark.parametrize("lives", [None, [0], [1, 0, 0, 0]])
    def test_reaching_zero_lives_does_not_end_the_episode(self, lives: Any) -> None:
        """Q*bert continues for some frames with 0 lives."""
        env = LifeLossTerminal(FakeGame(lives=lives, ends_at=3))
        env.reset()
        assert [env.step(NOOP)[2] for _ in range(3)] == [False, False, True]

    def test_gaining_a_life_does_not_end_the_episode(self) -> None:
        env = LifeLossTerminal(FakeGame(lives=[3, 4, 3]))
        env.reset()
        assert [env.step(NOOP)[2] for _ in range(2)] == [False, True]


class TestFireOnReset:
    def test_reset_returns_the_frame_after_one_step_of_fire(self) -> None:
        game = FakeGame()
        obs, info = FireOnReset(ActionRepeat(game, frame_skip=4)).reset(seed=9)
        assert game.tape == ["reset(9)", FIRE, FIRE, FIRE, FIRE]
        assert pixel(obs) == (1, 4, 97)
        assert info["frame"] == 4

    def test_presses_fire_for_each_life(self) -> None:
        game = FakeGame(lives=[3, 3, 2])
        env = FireOnReset(LifeLossTerminal(game))
        env.reset()
        assert env.step(RIGHT)[2] is True
        env.reset()
        assert game.tape == ["reset", FIRE, RIGHT, FIRE]

    def test_presses_fire_after_a_life_loss_that_does_not_end_the_episode(self) -> None:
        game = FakeGame(lives=[3, 3, 2], step_reward=2.0)
        env = FireOnReset(game)
        env.reset()
        obs, reward, terminated, _, info = env.step(RIGHT)
        assert game.tape == ["reset", FIRE, RIGHT, FIRE]
        assert (reward, terminated, info["frame"]) == (4.0, False, 3)
        assert pixel(obs) == (1, 3, 97)
        env.step(RIGHT)
        assert game.tape[4:] == [RIGHT]  # once per life

    def test_presses_fire_again_if_it_loses_a_life_in_step(self) -> None:
        game = FakeGame(lives=[6, 6, 5, 4, 3, 3, 3], step_reward=2.0)
        env = FireOnReset(game)
        env.reset()
        obs, reward, terminated, _, info = env.step(RIGHT)
        assert game.tape == ["reset", FIRE, RIGHT, FIRE, FIRE, FIRE]
        assert (reward, terminated, info["lives"]) == (8.0, False, 3)
        assert pixel(obs) == (1, 5, 95)
        env.step(RIGHT)
        assert game.tape[6:] == [RIGHT]

    def test_presses_fire_again_if_it_loses_a_life_in_reset(self) -> None:
        game = FakeGame(lives=[3, 2, 1, 1])
        obs, info = FireOnReset(game).reset()
        assert game.tape == ["reset", FIRE, FIRE, FIRE]
        assert (pixel(obs), info["lives"]) == ((1, 3, 97), 1)

    def test_stops_pressing_fire_when_it_ends_the_game(self) -> None:
        game = FakeGame(lives=[3, 3, 2, 1], ends_at=3)
        env = FireOnReset(game)
        env.reset()
        assert env.step(RIGHT)[2] is True
        assert game.tape == ["reset", FIRE, RIGHT, FIRE]

    def test_presses_fire_until_no_life_is_lost(self) -> None:
        game = FakeGame(lives=[6, 5, 4, 3, 2, 2])
        obs, _ = FireOnReset(LifeLossTerminal(game)).reset()
        assert game.tape == ["reset", *[FIRE] * 5]
        assert pixel(obs) == (1, 5, 95)

    def test_gives_up_if_fire_always_ends_the_game(self) -> None:
        game = FakeGame(ends_at=1)
        obs, _ = FireOnReset(game).reset(seed=4)
        assert pixel(obs)[1] == 0
        assert game.tape.count("reset(4)") == 1  # the seed is used once

    def test_games_without_fire_are_unchanged(self) -> None:
        game = FakeGame(meanings=("NOOP", "UP"), lives=[2, 1])
        env = FireOnReset(game)
        assert pixel(env.reset(seed=0)[0]) == (1, 0, 100)
        env.step(1)
        assert game.tape == ["reset(0)", 1]

    def test_each_life_of_breakout_starts_with_a_ball(self) -> None:
        ball_y = 101  # RAM cell, 0 without a ball
        env: Any = FireOnReset(LifeLossTerminal(ActionRepeat(gym.make("BreakoutNoFrameskip-v4"))))
        env.reset(seed=0)
        for _ in range(3):
            assert env.unwrapped.ale.getRAM()[ball_y] > 0
            while not env.step(NOOP)[2]:
                pass
            assert env.unwrapped.ale.getRAM()[ball_y] == 0
            env.reset()
