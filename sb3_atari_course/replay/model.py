"""What a replay buffer must know of the model that fills it."""

from __future__ import annotations

import sys

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_atari_course.errors import SettingError


def check_gamma(buffer: ReplayBuffer, n_steps: int, gamma: float) -> None:
    """Raise an error if the model that fills ``buffer`` discounts otherwise.

    With ``n_steps`` 1 the buffer does not discount, so any gamma will do.

    :param gamma: by which the buffer discounts rewards, per step.
    :raises SettingError: if the model's gamma is another one.
    """
    model = _model_of(buffer) if n_steps > 1 else None
    if model is not None and model.gamma != gamma:
        raise SettingError(
            f"the replay buffer discounts {n_steps} steps with gamma={gamma}, the model has"
            f" gamma={model.gamma}: set replay_buffer_kwargs="
            f"dict(n_steps={n_steps}, gamma={model.gamma})"
        )


def _model_of(buffer: ReplayBuffer) -> OffPolicyAlgorithm | None:
    """Return the algorithm whose training has called the buffer, None if there is none.

    SB3 tells a buffer nothing of its model, so it is looked for among the callers.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, OffPolicyAlgorithm) and caller.replay_buffer is buffer:
            return caller
    return None
