"""A world in which no two moments are alike, so that a memory cannot tell tales about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.base import WrongError
from sb3_atari_course.course.exercises.worlds import Step, WatchedWorld

N_ACTIONS = 3


class CountingWorld(WatchedWorld):
    """A world whose observations tell when they were made: no two are alike.

    Actions change nothing. An observation is (episode, step, 1, 0) / 100, float32; a step pays
    ``episode + step / 10``.
    Episode number e ends by itself after ``lengths_of[e % len(lengths_of)]`` steps, or, where that
    is above the time limit, by truncation.

    :param lengths_of: steps after which an episode is terminated.
    :param time_limit: see :class:`WatchedWorld`.
    """

    def __init__(
        self,
        lengths_of: tuple[int, ...] = (5, 9, 7),
        *,
        time_limit: int | None = None,
    ) -> None:
        super().__init__(N_ACTIONS, time_limit)
        self.observation_space = spaces.Box(0.0, np.inf, (4,), np.float32)
        self.lengths_of = lengths_of

    def _observation(self) -> NDArray[Any]:
        return np.array([len(self.lengths) - 1, self.lengths[-1], 100, 0], np.float32) / 100

    def first_state(self) -> NDArray[Any]:
        """Return step 0 of the episode."""
        return self._observation()

    def outcome(self, action: int) -> tuple[NDArray[Any], float, bool]:
        """Go on by a step."""
        episode, step = len(self.lengths) - 1, self.lengths[-1]
        ends = step == self.lengths_of[episode % len(self.lengths_of)]
        return self._observation(), episode + step / 10, ends


def best_actions(observations: torch.Tensor) -> torch.Tensor:
    """Return (episode + step) modulo 3, for observations of a CountingWorld."""
    return (observations[:, :2] * 100).round().sum(dim=1).long() % N_ACTIONS


def check_transitions(log: Sequence[Step], batch: Any) -> None:
    """Check that what is learned from really happened.

    :param log: all steps of a CountingWorld.
    :param batch: states, actions, rewards, next states, ended: tensors with a row for each.
    :raises WrongError: for the first transition that never was, or was another.
    """
    really = {(s.state[0], s.state[1]): s for s in log}
    for state, action, reward, after, ended in zip(*map(np.asarray, batch), strict=True):
        step = really.get((state[0], state[1]))
        _compare(step, state, int(action), float(reward), after, bool(ended))


def _compare(
    step: Step | None, state: Any, action: int, reward: float, after: Any, ended: bool
) -> None:
    """Compare a remembered transition with what happened."""
    where = f"a remembered transition from {_where(state)}"
    if step is None:
        raise WrongError(f"{where} never was: the state before the step must be remembered")
    if not np.array_equal(after, step.next_state):
        hint = ": state must become next_state after each step"
        if np.array_equal(after, state):
            hint = ": next_state is the old state"
        raise WrongError(
            f"{where} leads to {_where(after)}, it led to {_where(step.next_state)}{hint}"
        )
    if (action, round(reward, 4)) != (step.action, round(step.reward, 4)):
        raise WrongError(
            f"{where} says action {action}, reward {reward:g}; it was action"
            f" {step.action}, reward {step.reward:g}"
        )
    if ended != step.terminated:
        hint = ": the clock cut it off (truncated), that is no end" if step.truncated else ""
        raise WrongError(f"{where} says ended={ended}, the world said {step.terminated}{hint}")


def _where(state: Any) -> str:
    return f"(game {round(float(state[0]) * 100)}, step {round(float(state[1]) * 100)})"
