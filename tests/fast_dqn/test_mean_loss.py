"""The mean of losses."""

from __future__ import annotations

import math

import torch as th

from sb3_atari_course.fast_dqn.mean_loss import MeanLoss


def test_it_is_the_mean_of_the_last_finished_call() -> None:
    mean_loss = MeanLoss(th.device("cpu"))
    assert math.isnan(float(mean_loss))
    for losses, expected in (([1.0, 2.0, 6.0], 3.0), ([0.5], 0.5)):
        for loss in losses:
            mean_loss.add(th.tensor(loss, requires_grad=True))
        mean_loss.finish(len(losses))
        assert float(mean_loss) == expected
    mean_loss.add(th.tensor(100.0))
    assert float(mean_loss) == 0.5  # a call that has not finished does not count
