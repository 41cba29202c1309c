"""What the agent is paid: the sign of the score."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from sb3_atari_course._common.validation import explain_arguments


class ClipReward(gym.RewardWrapper[Any, Any], RecordConstructorArgs):
    """Pays the sign of the reward: -1.0, 0.0 or 1.0.

    So that one learning rate fits all games (Mnih et al. 2015, Methods, "Training details", clip
    to [-1, 1]; for whole-number scores that is the sign). Monitor, which stands inside, still
    counts the true score.

    :param env: any environment.
    """

    @explain_arguments
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reward(self, reward: SupportsFloat) -> float:
        """Return the sign.

        >>> import gymnasium as gym
        >>> clip = ClipReward(gym.make("CartPole-v1"))
        >>> clip.reward(7.0), clip.reward(0.0), clip.reward(-4.0)
        (1.0, 0.0, -1.0)
        """
        value = float(reward)
        return float((value > 0) - (value < 0))  # ten times as fast as numpy's sign of a scalar
