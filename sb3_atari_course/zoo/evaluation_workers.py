"""Evaluation in several processes: workers take games from this process and return the results."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from operator import length_hint
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch as th

from sb3_atari_course.evaluation.player import Player
from sb3_atari_course.evaluation.side_by_side import Game, Result, Results, Slot, play_games

#: Seconds after which workers are started if games are left. A worker needs a few seconds of CPU
#: time for its imports, more than a whole evaluation of CartPole.
DELAY = 0.5

#: Evaluates as the calling process does, with the function that plays the games as ``play``.
Evaluate = Callable[..., object]


def play_in_processes(
    evaluate: Evaluate,
    n_workers: int,
    player: Player,
    slots: Sequence[Slot],
    games: Sequence[Game],
) -> Results:
    """Play games in this process and, if it takes more than ``DELAY`` seconds, in others.

    Each process takes the next game when it can play one more, with one thread of PyTorch. Which
    process plays a game does not change its result.

    :param evaluate: called in each worker; it must be picklable.
    :param n_workers: number of processes, including this one.
    :param player: the model in this process.
    :param slots: the environments of this process.
    :param games: the games.
    :return: the result of each game, as soon as it is known.
    :raises ValueError: if a worker process dies.
    """
    waiting = iter([*games])  # next() of a list's iterator is atomic
    results: SimpleQueue[Result | Exception] = SimpleQueue()
    workers = [_Worker(evaluate, waiting, results) for _ in range(1, n_workers)]
    n_missing, n_threads = len(games), th.get_num_threads()
    try:
        th.set_num_threads(1)
        for worker in workers:
            worker.start()
        own = play_games(player, slots, waiting)
        while n_missing:
            if results.empty() and (result := next(own, None)) is not None:
                results.put(result)
            found = results.get()
            if isinstance(found, Exception):
                raise found
            yield found
            n_missing -= 1
    finally:
        for worker in workers:
            worker.stop()
        th.set_num_threads(n_threads)


class _Worker(Thread):
    """Thread that starts a worker process, hands out games to it, and collects its results.

    :param evaluate: called in the process.
    :param games: shared by all workers.
    :param results: of all workers; also an exception that ends the evaluation.
    """

    def __init__(
        self, evaluate: Evaluate, games: Iterator[Game], results: SimpleQueue[Result | Exception]
    ) -> None:
        super().__init__(daemon=True)
        self._evaluate, self._games, self._results = evaluate, games, results
        self._is_over = Event()
        self._process: Any = None

    def run(self) -> None:
        """Serve a process, unless the games are over soon."""
        if self._is_over.wait(DELAY) or not length_hint(self._games):
            return
        try:
            self._serve()
        except Exception as error:
            self._results.put(error)

    def stop(self) -> None:
        """Kill the process; one that is still starting is killed by the thread."""
        self._is_over.set()
        if self._process is not None:
            self._process.kill()
            self.join()

    def _serve(self) -> None:
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
        if forks:
            context.set_forkserver_preload(["sb3_atari_course.zoo.run_folder"])
            # Ctrl-C is for the caller alone: the processes inherit this thread's signal mask,
            # which the tracker's start would reset
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._evaluate), daemon=True)
        process.start()
        theirs.close()
        self._process = process
        if self._is_over.is_set():
            process.kill()
        with suppress(EOFError, OSError):  # the process has ended
            while True:
                message = ours.recv()
                if message is None:
                    ours.send(next(self._games, None))
                else:
                    self._results.put(message)
        process.join()
        if process.exitcode:
            raise ValueError(
                f"a worker process of the evaluation ended with status {process.exitcode}: its"
                " error is above, if it was not killed for its use of RAM; use one process"
                " (n_workers=1, --workers 1)"
            )


def _work(connection: Connection, evaluate: Evaluate) -> None:
    """Play games for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    th.set_num_threads(1)
    try:
        evaluate(play=partial(_play_for, connection))
    except Exception as error:
        with suppress(OSError):  # the other process has ended
            connection.send(error)


def _play_for(
    connection: Connection, player: Player, slots: Sequence[Slot], games: Sequence[Game]
) -> Results:
    """Play the games that are handed out, instead of all ``games``; then end the process."""

    def ask() -> Game | None:
        connection.send(None)
        game: Game | None = connection.recv()
        return game

    for result in play_games(player, slots, iter(ask, None)):
        connection.send(result)
    raise SystemExit  # the report is that of the other process
    yield
