"""Whole games: which are counted, how long they are, and where nobody counts them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.callbacks import Game, WholeGames
from sb3_atari_course.wrappers import ClipReward, LifeLossTerminal
from tests.callbacks.trainings import PaidGames, painted, player, repeated, vec_env
from tests.fakes import FakeGame


class Counting(BaseCallback):
    """Keeps what it is told: (agent steps so far, env, score, agent steps of the game)."""

    def __init__(self) -> None:
        super().__init__()
        self.games, self.whole, self.starts = [], WholeGames(), []  # type: ignore[var-annotated]

    def _on_training_start(self) -> None:
        self.whole.begin(self)

    def _on_step(self) -> bool:
        finished = self.whole.finished(self)
        assert all(isinstance(game, Game) and 0 <= game.seconds < 60 for game in finished)
        self.games += [(self.num_timesteps, *game[:3]) for game in finished]
        self.starts += [self.whole.is_at_start(0)]
        return True


def test_games_of_several_envs_are_counted_in_agent_steps() -> None:
    counting = Counting()
    player(vec_env(partial(repeated, 4), partial(repeated, 6))).learn(12, callback=counting)
    assert counting.games == [
        (4, 0, 4.0, 2),
        (6, 1, 6.0, 3),
        (8, 0, 4.0, 2),
        (12, 0, 4.0, 2),
        (12, 1, 6.0, 3),
    ]
    assert counting.starts == [False, True, False, True, False, True]


def test_a_lost_life_is_no_end_of_a_game() -> None:
    counting = Counting()
    player(vec_env(painted)).learn(12, callback=counting)
    assert counting.games == [(6, 0, 6.0, 6), (12, 0, 6.0, 6)]


def test_a_game_goes_on_in_the_next_learn() -> None:
    counting = Counting()
    model = player(vec_env(partial(repeated, 10)))
    model.learn(3, callback=counting)
    model.learn(3, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(5, 0, 10.0, 5)]


def test_a_learn_that_counts_anew_begins_new_games() -> None:
    counting = Counting()
    model = player(vec_env(partial(repeated, 10)))
    model.learn(3, callback=counting)
    model.learn(6, callback=counting)
    assert counting.games == [(5, 0, 10.0, 5)]


def test_other_envs_begin_new_games() -> None:
    counting = Counting()
    model = player(vec_env(partial(repeated, 10)))
    model.learn(3, callback=counting)
    model.set_env(vec_env(partial(repeated, 4)))
    model.learn(3, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(5, 0, 4.0, 2)]


def test_a_game_whose_beginning_was_not_seen_is_not_counted() -> None:
    counting = Counting()
    model = player(vec_env(partial(repeated, 10)))
    model.learn(3)
    model.learn(7, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(10, 0, 10.0, 5)]


def test_native_games_are_counted_too() -> None:
    counting = Counting()
    env = NativeAtariVecEnv(
        "BreakoutNoFrameskip-v4", 2, seed=0, noop_max=0, max_num_frames_per_episode=80
    )
    model = player(env)
    model.learn(100, callback=counting)
    assert model.ep_info_buffer is not None
    assert [game[2] for game in counting.games] == [info["r"] for info in model.ep_info_buffer]
    assert [game[:2] for game in counting.games] == [(40, 0), (40, 1), (80, 0), (80, 1)]
    assert {game[3] for game in counting.games} == {20}
    env.close()


@pytest.mark.parametrize("inside", [LifeLossTerminal, ClipReward])
def test_a_monitor_outside_is_refused(inside: Any) -> None:
    """SB3 puts one there by itself."""
    model = player(inside(FakeGame()))
    with pytest.raises(ValueError, match=f"outside of {inside.__name__}, so .*wrap_atari"):
        model.learn(5, callback=Counting())


def test_games_without_a_monitor_are_refused() -> None:
    env = DummyVecEnv([partial(PaidGames, [1.0])])
    with pytest.raises(ValueError, match=r"no Monitor counts the games: .*make_atari_env"):
        player(env).learn(5, callback=Counting())
    counting = Counting()
    player(VecMonitor(env)).learn(2, callback=counting)
    player(DummyVecEnv([lambda: Monitor(PaidGames([1.0]))])).learn(2, callback=counting)
    assert counting.games == [(1, 0, 1.0, 1), (2, 0, 1.0, 1)] * 2
