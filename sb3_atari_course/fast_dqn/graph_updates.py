"""Gradient steps as a CUDA graph: drawn, gathered and computed on the card, at one command each."""

from __future__ import annotations

import torch as th
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_atari_course.fast_dqn.device_rows import DeviceRows
from sb3_atari_course.fast_dqn.updates import GradientStep

#: Updates before the capture, in which libraries choose their kernels; they count like the others.
N_WARM_UPS = 3


class GraphUpdates:
    """Updates that the card does by itself, while the emulators play.

    An update of a small network is forty kernels of a few microseconds, and launching them one by
    one takes longer than they do. A graph launches them all at once. It holds addresses and
    numbers: after a tensor or a setting was replaced (by a loaded optimizer, a replay buffer that
    grew, another ``max_grad_norm``) another one is captured.

    :param step: one update.
    :param rows: the replay buffer's rows on the GPU.
    """

    run_behind = True

    def __init__(self, step: GradientStep, rows: DeviceRows) -> None:
        self.step, self._rows = step, rows
        self._graph: th.cuda.CUDAGraph | None = None
        self._captured: tuple[object, ...] = ()
        self._n_warm_ups = 0
        self._beside: th.cuda.Stream | None = None

    def read(self, buffer: ReplayBuffer) -> bool:
        """Return whether batches come from this replay buffer."""
        return self._rows.belong_to(buffer)

    def renew(self, step: GradientStep, *, gamma: float) -> None:
        """Take over the step and the discount of another call of ``train``."""
        self.step = step
        self._rows.set_gamma(gamma)

    def run(self, n_updates: int, batch_size: int) -> None:
        """Ask the card for ``n_updates``, each on a batch of its own; nothing is waited for."""
        self._rows.follow()
        with th.cuda.device_of(self.step.weights[0]):  # type: ignore[no-untyped-call]
            if self._graph is not None and self._captured != self._addresses(batch_size):
                self._graph, self._n_warm_ups = None, 0
            for _ in range(n_updates):
                self._update(batch_size)
        self.step.mean_loss.finish(n_updates)

    def _update(self, batch_size: int) -> None:
        if self._n_warm_ups < N_WARM_UPS:
            self._n_warm_ups += 1
            self._warm_up(batch_size)
            return
        if self._graph is None:
            self._graph = self._capture(batch_size)
            self._captured = self._addresses(batch_size)
        self._graph.replay()

    def _addresses(self, batch_size: int) -> tuple[object, ...]:
        """Return what a graph holds for ever."""
        return (batch_size, *self._rows.addresses, *self.step.addresses)

    def _warm_up(self, batch_size: int) -> None:
        """Do one update beside the usual stream, as captures ask for."""
        self._beside = self._beside or th.cuda.Stream()  # type: ignore[no-untyped-call]
        self._beside.wait_stream(th.cuda.current_stream())
        with th.cuda.stream(self._beside):
            self.step(self._rows.sample(batch_size))
        th.cuda.current_stream().wait_stream(self._beside)

    def _capture(self, batch_size: int) -> th.cuda.CUDAGraph:
        """Return the graph of one update; it is not done by that."""
        self.step.optimizer.zero_grad()  # gradients are to lie in the graph's own memory
        graph = th.cuda.CUDAGraph()
        with th.cuda.graph(graph):
            self.step(self._rows.sample(batch_size))
        return graph
