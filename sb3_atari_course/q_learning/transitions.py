"""What a step of a VecEnv means to a table: where it led, what it paid, or which env is broken."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course.q_learning.policies import QTablePolicy


class TransitionReader:
    """Reads states and rewards from what several environments return.

    :param policy: knows the spaces.
    :param envs: asked for their names only.
    """

    def __init__(self, policy: QTablePolicy, envs: VecEnv) -> None:
        self.policy, self.envs = policy, envs

    def states(self, observations: Any) -> list[int]:
        """Return the state number of each environment's observation.

        :raises ValueError: if one lies outside the space, with the environment's name.
        """
        try:
            return self.policy.states(observations)
        except ValueError:
            for index, observation in enumerate(observations):
                self._state(observation, index)
            raise

    def next_states(
        self, new_states: list[int], is_done: list[bool], infos: list[dict[str, Any]]
    ) -> list[int | None]:
        """Return the state that each step led to, None if the episode terminated there.

        :param new_states: after the reset, if an episode has ended.
        :param is_done: whether it has.
        :param infos: of SB3: ``terminal_observation``, ``TimeLimit.truncated``.
        :raises ValueError: as :meth:`states`.
        """
        next_states: list[int | None] = list(new_states)
        for index, info in enumerate(infos):
            if is_done[index]:
                last = self._state(info["terminal_observation"], index)
                next_states[index] = last if info.get("TimeLimit.truncated") else None
        return next_states

    def rewards(self, rewards: NDArray[Any]) -> list[float]:
        """Return what each environment has paid.

        :raises ValueError: if one is infinite or not a number, with the environment's name.
        """
        paid: list[float] = rewards.tolist()
        if not math.isfinite(sum(paid)):
            index = next((i for i, reward in enumerate(paid) if not math.isfinite(reward)), 0)
            raise ValueError(f"{env_name(self.envs, index)} is broken: it pays {paid[index]}")
        return paid

    def _state(self, observation: Any, index: int) -> int:
        try:
            batch, _ = self.policy.to_batch(observation)
            (state,) = self.policy.states(batch)
        except ValueError as error:
            raise ValueError(f"{env_name(self.envs, index)} is broken: {error}") from None
        return state


def env_name(envs: VecEnv, index: int) -> str:
    """Return what one of several environments is called: its id, else its class if at hand."""
    (spec,) = envs.get_attr("spec", index)
    here = getattr(envs.unwrapped, "envs", None)  # a DummyVecEnv has them in this process
    name = type(here[index].unwrapped).__name__ if here else type(envs.unwrapped).__name__
    return f"{spec.id if spec else name} (environment {index})"
