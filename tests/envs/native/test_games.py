"""Lives, scores and lengths, by hand."""

from __future__ import annotations

import numpy as np

from sb3_atari_course.envs.native.batch import Played
from sb3_atari_course.envs.native.games import Games, infos_of


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
        last_pictures={},
    )


def test_a_life_a_game_over_and_a_cut() -> None:
    games = Games(4)
    games.begin(played(lives=[3, 1, 2], frame=[10, 20, 30], episode_frame=[10, 20, 0]))
    step = games.step(
        played(lives=[3, 1, 2], frame=[14, 24, 34], episode_frame=[14, 24, 4], rewards=[1, 2, 3])
    )
    assert not (step.over | step.life_lost).any()
    step = games.step(
        played(
            lives=[2, 3, 3],  # one lost; two new games
            frame=[18, 24 + 3 + 7, 34 + 4 + 0],  # 3 frames to the end, then 7 no-ops
            episode_frame=[18, 7, 0],
            rewards=[1, 5, 0],
            terminated=[0, 1, 0],
            truncated=[0, 0, 1],
        )
    )
    assert step.life_lost.tolist() == [True, False, False]
    assert step.over.tolist() == [False, True, True]
    assert step.truncated.tolist() == [False, False, True]
    assert step.scores.tolist() == [2, 7, 3]
    assert infos_of(step) == [
        {"lives": 2, "frame_number": 18, "episode_frame_number": 18},
        {"lives": 0, "frame_number": 27, "episode_frame_number": 27},
        {"lives": 2, "frame_number": 38, "episode_frame_number": 8},
    ]
    step = games.step(
        played(lives=[2, 3, 3], frame=[22, 38, 42], episode_frame=[22, 11, 4], rewards=[0, 1, 1])
    )
    assert not (step.over | step.life_lost).any()
    assert step.scores.tolist() == [2, 1, 1]
    assert step.episode_frame_number.tolist() == [22, 11, 4]


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


def test_no_ops_count_and_the_frames_that_the_emulator_plays_during_a_reset_do_not() -> None:
    """Those are 10; games begin with 2, 0 and 9 no-ops; only the scores of 0 to 2 are known."""
    games = Games(4, n_first_frames=10, noop_scores=[0, -1, -5])
    games.begin(played(lives=[0] * 3, frame=[12, 10, 19], episode_frame=[12, 10, 19]))
    step = games.step(
        played(
            lives=[0] * 3,
            frame=[16, 25, 23],
            episode_frame=[16, 11, 23],  # the second is over after 4 frames; a no-op is played
            rewards=[1, 1, 1],
            terminated=[0, 1, 0],
        )
    )
    assert step.scores.tolist() == [-4, 1, -4]
    assert step.lengths.tolist() == [6, 4, 13]
    assert step.episode_frame_number.tolist() == [16, 14, 23]
    step = games.step(
        played(lives=[0] * 3, frame=[20, 29, 27], episode_frame=[20, 15, 27], rewards=[1, 1, 1])
    )
    assert step.scores.tolist() == [-3, 0, -3]
    assert step.lengths.tolist() == [10, 5, 17]
