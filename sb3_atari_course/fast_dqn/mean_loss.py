"""The mean loss of a call of ``train``, known without waiting for the device."""

from __future__ import annotations

import math

import torch as th


class MeanLoss:
    """Adds up losses where they are computed.

    On a CPU ``float(mean_loss)`` is the mean of the last finished call. A card works behind the
    back of the CPU, and asking it would mean waiting for it: there it is the mean of the last call
    whose result has arrived, NaN before the first.

    :param device: of the losses.
    """

    def __init__(self, device: th.device) -> None:
        self.device = device
        self._sum = th.zeros((), device=device)
        self._mean = th.full((), math.nan, pin_memory=device.type == "cuda")

    def add(self, loss: th.Tensor) -> None:
        """Add the loss of one update, ()."""
        self._sum += loss.detach()

    def finish(self, n_updates: int) -> None:
        """End a call of ``train`` with so many updates."""
        self._mean.copy_(self._sum / n_updates, non_blocking=True)
        self._sum.zero_()

    def __float__(self) -> float:
        return float(self._mean)
