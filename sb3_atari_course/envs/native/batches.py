"""All games, in batches that play and draw at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.envs.native.batch import Batch, Pictures, Played


class Batches:
    """Orders resets and steps of all games, and collects what comes of it.

    :param make_batch: (games, threads of ale-py) -> a batch.
    :param sizes: these two of each batch, see :func:`batch_sizes`.
    """

    def __init__(
        self, make_batch: Callable[[int, int], Batch], sizes: Sequence[tuple[int, int]]
    ) -> None:
        self._batches = [make_batch(n_envs, n_threads) for n_envs, n_threads in sizes]
        self._ordered: tuple[Pictures, list[Future[Played]]] | None = None

    @property
    def meanings(self) -> list[str]:
        """Names of the actions."""
        return self._batches[0].meanings

    def order(
        self, what: Literal["reset", "step"], numbers: NDArray[np.int32], stacks: Pictures
    ) -> None:
        """Order new games or a step; what was ordered before is played, and forgotten.

        :param numbers: (n_envs,) seeds (from 0; -1 for none) or valid actions.
        :param stacks: (n_envs, n_stack, h, w) uint8; the newest pictures will be drawn into it.
        """
        futures: list[Future[Played]] = []
        first = 0
        for batch in self._batches:
            part = slice(first, first + batch.n_envs)
            futures.append(getattr(batch, what)(numbers[part], stacks[part, -1]))
            first += batch.n_envs
        self._ordered = stacks, futures

    def collect(self) -> tuple[Pictures, Played]:
        """Wait for what was ordered last; may be called again after an interrupt.

        :return: the stacks, with their newest pictures, and what all games say.
        """
        assert self._ordered is not None, "nothing was ordered"
        stacks, futures = self._ordered
        return stacks, joined([future.result() for future in futures])

    def close(self) -> None:
        """End the threads, after what was ordered."""
        for batch in self._batches:
            batch.close()
        self._ordered = None


def joined(parts: list[Played]) -> Played:
    """Return what all games say, from what the batches say, in their order."""
    last_pictures: dict[int, Pictures] = {}
    first = 0
    for part in parts:
        for i, picture in part.last_pictures.items():
            last_pictures[first + i] = picture
        first += len(part.rewards)
    columns: Any = zip(*(part[:-1] for part in parts), strict=True)
    return Played(*map(np.concatenate, columns), last_pictures)  # type: ignore[call-arg,arg-type]


def batch_sizes(n_envs: int, n_threads: int, *, draws: bool) -> list[tuple[int, int]]:
    """Return (games, threads of ale-py) of each batch.

    With a crop each batch draws in one thread of ours, so there are several: two on a small
    machine, one for two cores on a large one; each has one thread more than its share of the
    cores, for while one batch is drawn its threads are idle. Without, ale-py draws, and one batch
    spreads the work best.

    :param n_threads: cores to play on.

    >>> batch_sizes(32, 2, draws=True), batch_sizes(32, 2, draws=False)
    ([(16, 2), (16, 2)], [(32, 2)])
    """
    n_batches = min(n_envs, n_threads, max(2, n_threads // 2)) if draws else 1
    games = np.diff(np.linspace(0, n_envs, n_batches + 1).astype(int)).tolist()
    threads = np.diff(np.linspace(0, n_threads, n_batches + 1).astype(int)).tolist()
    more = int(n_batches > 1)
    return [(n, min(share + more, n)) for n, share in zip(games, threads, strict=True)]
