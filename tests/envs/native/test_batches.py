"""How games are shared out, and put together again in their order."""

from __future__ import annotations

import numpy as np
import pytest

from sb3_atari_course.envs.native.batch import Played
from sb3_atari_course.envs.native.batches import batch_sizes, joined


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
            last_pictures={over: np.full((1, 1), first + over, np.uint8)},
        )

    whole = joined([part(0, 3, over=1), part(3, 2, over=0)])
    assert whole.rewards.tolist() == [0, 1, 2, 3, 4]
    assert whole.episode_frame_number.tolist() == [500, 501, 502, 503, 504]
    assert {i: int(picture[0, 0]) for i, picture in whole.last_pictures.items()} == {1: 1, 3: 3}
