"""Tests of the batch sizes, and of ends of games that the comparison with wrappers misses."""

from __future__ import annotations

import numpy as np

from sb3_atari_course.envs.native.emulators import EpisodeCounter, RawStep, batch_sizes


def test_every_batch_gets_games_and_threads() -> None:
    for n_envs in range(1, 40):
        for n_threads in range(1, n_envs + 1):
            sizes = np.array(batch_sizes(n_envs, n_threads, resizes=True))
            assert sizes[:, 0].sum() == n_envs
            assert n_threads <= sizes[:, 1].sum() <= n_threads + len(sizes)
            assert (sizes[:, 1] <= sizes[:, 0]).all()  # at most one thread per game
            assert sizes.min() >= 1


def raw_step(**columns: list[int]) -> RawStep:
    """Return the result of a step of three games."""
    no = [0, 0, 0]
    return RawStep(
        rewards=np.array(columns.get("rewards", no), np.int32),
        terminated=np.array(columns.get("terminated", no), bool),
        truncated=np.array(columns.get("truncated", no), bool),
        lives=np.array(columns["lives"], np.int32),
        frame_number=np.array(columns["frame"], np.int32),
        episode_frame_number=np.array(columns["episode_frame"], np.int32),
        last_frames={},
    )


def test_game_over_is_not_truncated_and_zero_lives_not_a_life_loss() -> None:
    counter = EpisodeCounter(4)
    counter.reset(raw_step(lives=[2, 1, 0], frame=[0, 0, 0], episode_frame=[0, 0, 0]))
    step = counter.step(
        raw_step(
            lives=[2, 0, 0],
            frame=[4, 4, 4],
            episode_frame=[0, 4, 4],
            terminated=[1, 0, 0],
            truncated=[1, 0, 0],
        )
    )
    assert step.truncated.tolist() == [False, False, False]
    assert step.life_lost.tolist() == [False, False, False]


def test_frames_of_a_game_that_ended_during_its_noops_are_not_counted() -> None:
    """Three frames to the end, seven of a game that its no-ops ended, two of the next game."""
    counter = EpisodeCounter(4)
    counter.reset(raw_step(lives=[0] * 3, frame=[100] * 3, episode_frame=[50] * 3))
    over = raw_step(lives=[0] * 3, frame=[112] * 3, episode_frame=[2] * 3, terminated=[1] * 3)
    assert counter.step(over).episode_frame_number.tolist() == [54] * 3  # at most one step
