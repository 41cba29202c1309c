"""Gradient steps, one after the other: batch, loss, gradient, clip, step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_course.fast_dqn.compiler import Compiled
from sb3_atari_course.fast_dqn.images import q_function, with_channels_last
from sb3_atari_course.fast_dqn.loss import temporal_difference_loss
from sb3_atari_course.fast_dqn.mean_loss import MeanLoss

#: What PyTorch adds to the norm before it divides by it.
_EPSILON = 1e-6


class GradientStep:
    """One update of a model's weights by one batch; nothing in it waits for the device.

    Everything is read from the model when the step is made, as SB3 reads it in each ``train``, so
    a step serves a single call of ``train``.

    :param model: its networks, optimizer, ``gamma`` and ``max_grad_norm`` are taken.
    :param mean_loss: where losses are added up.
    :param double_q: see :func:`~sb3_atari_course.fast_dqn.loss.temporal_difference_loss`.
    :param compiled: that function, compiled; None: as it is.
    """

    def __init__(
        self,
        model: DQN,
        mean_loss: MeanLoss,
        *,
        double_q: bool,
        compiled: Compiled[Any, th.Tensor] | None = None,
    ) -> None:
        self.mean_loss, self.optimizer = mean_loss, model.policy.optimizer
        self.weights: Sequence[th.Tensor] = list(model.policy.parameters())
        self._nets = model.q_net, model.q_net_target
        self._gamma, self._max_grad_norm = model.gamma, model.max_grad_norm
        self._double_q, self._compiled = double_q, compiled
        self._loss: Any = compiled or temporal_difference_loss
        self._q_functions = [q_function(net) for net in self._nets] if compiled else self._nets

    @property
    def addresses(self) -> tuple[object, ...]:
        """What a CUDA graph of this step keeps: where tensors lie, layers and numbers.

        ``gamma`` is not among them: batches for a graph bring their own discounts.
        """
        tensors = [*self.weights, *(buffer for net in self._nets for buffer in net.buffers())]
        for state in self.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, th.Tensor)]
        numbers: list[Any] = [self._max_grad_norm, self._double_q]
        for group in self.optimizer.param_groups:
            tensors += group["params"]
            for name, value in group.items():
                if isinstance(value, th.Tensor):
                    tensors.append(value)
                elif name != "params":
                    numbers.append(value)
        return (
            *((tensor.data_ptr(), tensor.requires_grad) for tensor in tensors),
            *(layer for net in self._nets for layer in net.modules()),
            *(*numbers, self.optimizer, self._compiled, self.mean_loss),
        )

    def __call__(self, batch: ReplayBufferSamples) -> None:
        """Do it."""
        self.optimizer.zero_grad()
        loss = self._loss(batch, *self._q_functions, gamma=self._gamma, double_q=self._double_q)
        loss.backward()
        clip_gradient(self.weights, self._max_grad_norm)
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
        """Do ``n_updates``, each on a separate batch."""
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
