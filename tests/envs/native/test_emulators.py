"""How games are shared out to batches; ends of games that the twins do not meet, by hand."""

from __future__ import annotations

import numpy as np

from sb3_atari_course.envs.native.emulators import Games, Played, batch_sizes


def test_each_batch_has_games_and_threads() -> None:
    for n_envs in range(1, 40):
        for n_threads in range(1, n_envs + 1):
            sizes = np.array(batch_sizes(n_envs, n_threads, draws=True))
            assert sizes[:, 0].sum() == n_envs
            assert n_threads <= sizes[:, 1].sum() <= n_threads + len(sizes)
            assert (sizes[:, 1] <= sizes[:, 0]).all()  # at most one thread a game
            assert sizes.min() >= 1


def played(**columns: list[int]) -> Played:
    """Return what three games say."""
    no = [0, 0, 0]
    return Played(
        rewards=np.array(columns.get("rewards", no), np.int32),
        terminated=np.array(columns.get("terminated", no), bool),
        truncated=np.array(columns.get("truncated", no), bool),
        lives=np.array(columns["lives"], np.int32),
        frame_number=np.array(columns["frame"], np.int32),
        episode_frame_number=np.array(columns["episode_frame"], np.int32),
        last_frames={},
    )


def test_an_end_at_the_limit_is_no_truncation_and_the_last_life_no_lost_one() -> None:
    games = Games(4)
    games.begin(played(lives=[2, 1, 0], frame=[0, 0, 0], episode_frame=[0, 0, 0]))
    step = games.step(
        played(
            lives=[2, 0, 0],
            frame=[4, 4, 4],
            episode_frame=[0, 4, 4],
            terminated=[1, 0, 0],
            truncated=[1, 0, 0],
        )
    )
    assert step.truncated.tolist() == [False, False, False]
    assert step.life_lost.tolist() == [False, False, False]


def test_a_game_that_a_no_op_ended_is_not_counted() -> None:
    """Three frames to the end, seven no-ops that ended a game, two of the next game."""
    games = Games(4)
    games.begin(played(lives=[0] * 3, frame=[100] * 3, episode_frame=[50] * 3))
    over = played(lives=[0] * 3, frame=[112] * 3, episode_frame=[2] * 3, terminated=[1] * 3)
    assert games.step(over).episode_frame_number.tolist() == [54] * 3  # at most a step
