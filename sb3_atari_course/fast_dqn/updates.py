"""Gradient steps, one after the other: batch, loss, gradient, clip, step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch.optim import Optimizer

from sb3_atari_course.fast_dqn.images import with_channels_last
from sb3_atari_course.fast_dqn.mean_loss import MeanLoss

Loss = Callable[[ReplayBufferSamples], th.Tensor]

#: What PyTorch adds to the norm before it divides by it.
_EPSILON = 1e-6


class GradientStep:
    """One update of the weights by one batch; nothing in it waits for the device.

    :param compute_loss: batch -> () with a gradient.
    :param optimizer: of the weights.
    :param weights: whose gradient is clipped, all at once.
    :param max_grad_norm: to this Euclidean norm.
    :param mean_loss: where losses are added up.
    """

    def __init__(
        self,
        compute_loss: Loss,
        optimizer: Optimizer,
        weights: Sequence[th.Tensor],
        max_grad_norm: float,
        mean_loss: MeanLoss,
    ) -> None:
        self.compute_loss, self.optimizer, self.weights = compute_loss, optimizer, weights
        self.max_grad_norm, self.mean_loss = max_grad_norm, mean_loss

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where the optimiser's tensors lie: elsewhere after it was loaded."""
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return tuple(x.data_ptr() for x in (*states, *rates) if isinstance(x, th.Tensor))

    def __call__(self, batch: ReplayBufferSamples) -> None:
        """Do it."""
        self.optimizer.zero_grad()
        loss = self.compute_loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradient(self.weights, self.max_grad_norm)
        self.optimizer.step()
        self.mean_loss.add(loss)


class Updates:
    """Updates that are done when ``run`` returns.

    :param step: one of them.
    :param sample: batch size -> batch.
    """

    #: Whether ``run`` only asks for updates, which then go on beside other work.
    run_behind = False

    def __init__(self, step: GradientStep, sample: Callable[[int], ReplayBufferSamples]) -> None:
        self.step, self._sample = step, sample

    def run(self, n_updates: int, batch_size: int) -> None:
        """Do ``n_updates``, each on a batch of its own."""
        for _ in range(n_updates):
            self.step(with_channels_last(self._sample(batch_size)))
        self.step.mean_loss.finish(n_updates)


def clip_gradient(weights: Sequence[th.Tensor], max_norm: float) -> None:
    """Shorten the gradient of all weights to a Euclidean norm, as ``clip_grad_norm_`` does.

    That multiplies a gradient which is short enough by 1, which takes a twentieth of an update. On
    a CPU it is left alone; a card would have to be waited for.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = th.nn.utils.get_total_norm(gradients)
    if norm.device.type == "cpu" and float(norm) + _EPSILON <= max_norm:
        return
    th.nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
