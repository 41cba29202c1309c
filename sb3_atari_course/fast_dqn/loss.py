"""The loss of one batch, DQN's or Double DQN's: networks and tensors in, one number out."""

from __future__ import annotations

from collections.abc import Callable

import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

#: (B, ...) observations -> (B, n_actions) Q-values.
QFunction = Callable[[th.Tensor], th.Tensor]


def temporal_difference_loss(
    batch: ReplayBufferSamples,
    q_net: QFunction,
    q_net_target: QFunction,
    *,
    gamma: float,
    double_q: bool,
) -> th.Tensor:
    """Return the mean Huber loss of Q(s, a) against r + gamma * (value of the next state).

    The value is the target network's: of its own best action (Mnih et al. 2015, algorithm 1), or
    with ``double_q`` of the online network's (van Hasselt et al. 2016, equation 4).

    :param batch: observations (B, ...), the rest (B, 1); ``discounts`` None: ``gamma``.
    :param gamma: discount per step.
    :return: () float32, with the gradient of ``q_net`` only.
    """
    with th.no_grad():
        next_q_values = q_net_target(batch.next_observations)
        if double_q:
            best = q_net(batch.next_observations).argmax(dim=1, keepdim=True)
            next_values = next_q_values.gather(1, best)
        else:
            next_values = next_q_values.amax(dim=1, keepdim=True)
        discounts = gamma if batch.discounts is None else batch.discounts
        targets = batch.rewards + (1 - batch.dones) * discounts * next_values
    q_values = q_net(batch.observations).gather(1, batch.actions.long())
    return nn.functional.smooth_l1_loss(q_values, targets)
