"""What a replay buffer must know of the model that fills it."""

from __future__ import annotations

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course._common.validation import callers


def agreed_gamma(buffer: ReplayBuffer, gamma: float | None) -> float:
    """Return by which factor a buffer discounts the rewards of several steps.

    :param gamma: the buffer's setting; None: that of the model that fills it.
    :raises SettingError: if the model's gamma is another one, or if there is no model to ask.
    """
    fillers = (one for one in callers(OffPolicyAlgorithm) if one.replay_buffer is buffer)
    model = next(fillers, None)
    if model is None:
        if gamma is None:
            raise SettingError("gamma=None takes the model's gamma, but no model fills this buffer")
        return gamma
    if gamma not in (None, model.gamma):
        raise SettingError(
            f"the replay buffer discounts several steps with gamma={gamma}, the model has"
            f" gamma={model.gamma}: in replay_buffer_kwargs set gamma to {model.gamma}, or to None"
            " for the model's (a loaded memory has the gamma that it was saved with)"
        )
    return float(model.gamma)
