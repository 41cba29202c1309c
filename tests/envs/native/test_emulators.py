"""How games are shared out to batches, and what they report: lives, scores, lengths, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sb3_atari_course.envs.native.emulators import Games, Played, batch_sizes, infos_of, joined


@pytest.mark.parametrize(
    ("n_envs", "n_threads", "expected"),
    [
        (1, 1, [(1, 1)]),
        (8, 1, [(8, 1)]),
        (32, 2, [(16, 2), (16, 2)]),
        (5, 2, [(2, 2), (3, 2)]),
        (3, 3, [(1, 1), (2, 2)]),
        (64, 16, [(8, 3)] * 8),
    ],
)
def test_sizes(n_envs: int, n_threads: int, expected: list[tuple[int, int]]) -> None:
    assert batch_sizes(n_envs, n_threads, draws=True) == expected
    assert batch_sizes(n_envs, n_threads, draws=False) == [(n_envs, n_threads)]


def test_every_share_has_games_and_threads() -> None:
    for n_envs in range(1, 40):
        for n_threads in range(1, n_envs + 1):
            sizes = np.array(batch_sizes(n_envs, n_threads, draws=True))
            assert sizes[:, 0].sum() == n_envs
            assert n_threads <= sizes[:, 1].sum() <= n_threads + len(sizes)
            assert (sizes[:, 1] <= sizes[:, 0]).all()  # at most one thread a game
            assert sizes.min() >= 1


def test_joined_in_their_order() -> None:
    def part(first: int, n: int, over: int) -> Played:
        numbers = np.arange(first, first + n)
        return Played(
            *(numbers + 100 * column for column in range(6)),  # type: ignore[arg-type]
            last_frames={over: np.full((1, 1), first + over, np.uint8)},
        )

    whole = joined([part(0, 3, over=1), part(3, 2, over=0)])
    assert whole.rewards.tolist() == [0, 1, 2, 3, 4]
    assert whole.episode_frame_number.tolist() == [500, 501, 502, 503, 504]
    assert {i: int(frame[0, 0]) for i, frame in whole.last_frames.items()} == {1: 1, 3: 3}


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
