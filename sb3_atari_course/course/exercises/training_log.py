"""A training in a watched world: networks that answer by rule, and a note of every update.

Both training loops of the course, CartPole's and the game's, are judged by such notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sb3_atari_course.course.exercises.base import Solution, WrongError
from sb3_atari_course.course.exercises.worlds import Step, WatchedWorld

#: Steps that fill the memory.
PREFILL = 30


class RuleNet(nn.Module):
    """A network whose best action follows from the observation by a known rule.

    :param best_actions: (batch of observations) -> best action of each, (B,).
    :param n_actions: number of values.
    """

    def __init__(self, best_actions: Any, n_actions: int) -> None:
        super().__init__()
        self.best_actions, self.n_actions = best_actions, n_actions
        #: Number of updates that made it what it is.
        self.version = nn.Parameter(torch.zeros(1))
        self.largest_input = 0.0

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return values (B, n_actions), 1 for the best and 0 for the others; or (n_actions,)."""
        if observations.ndim in (1, 3):  # a state or a stack alone
            return self.forward(observations[None])[0]
        self.largest_input = max(self.largest_input, float(observations.max()))
        best = self.best_actions(observations)
        return nn.functional.one_hot(best, self.n_actions) + 0 * self.version


@dataclass(frozen=True)
class Update:
    """One call of the update function.

    :param n_steps: steps that the world had been played before it.
    :param target_version: number of updates that made the target network.
    :param target_is_online: whether both networks were the same object.
    :param batch: what it was to learn from.
    """

    n_steps: int
    target_version: int
    target_is_online: bool
    batch: Any


class UpdateListener:
    """Takes the place of the student's update function, and notes its calls.

    :param world: in which the student's loop plays.
    """

    def __init__(self, world: Any) -> None:
        self.world = world
        self.updates: list[Update] = []

    def __call__(
        self, q_net: Any, target_net: Any, optimizer: Any, batch: Any, *_: Any, **__: Any
    ) -> float:
        """Note a call, and make the online network one version newer."""
        version = int(target_net.version.item())
        self.updates.append(Update(len(self.world.log), version, target_net is q_net, batch))
        with torch.no_grad():
            q_net.version += 1
        return 0.0


class Training:
    """A training by the student's loop, and what was noted of it.

    :param solution: the student's code.
    :param world: in which it plays.
    :param loop: name of the student's training function.
    :param update: name of the update function that it calls.
    :param best_actions: see :class:`RuleNet`.
    :param changes: of the settings below, and more of them.
    :raises WrongError: if no list is returned.
    """

    def __init__(
        self,
        solution: Solution,
        world: WatchedWorld,
        *,
        loop: str,
        update: str,
        best_actions: Any,
        **changes: Any,
    ) -> None:
        self.world = world
        listener = UpdateListener(world)
        setattr(solution, update, listener)
        self.q_net, target_net = (RuleNet(best_actions, world.n_actions) for _ in range(2))
        self.settings: dict[str, Any] = {
            "n_episodes": 30,
            "max_steps": 50,
            "memory_size": 1000,
            "prefill": PREFILL,
            "batch_size": 16,
            "update_every": 2,
            "copy_every": 10,
            "max_epsilon": 1.0,
            "min_epsilon": 1.0,
            "epsilon_decay": 0.0,
            "gamma": 0.9,
            "window": 5,
            "stop_at": None,
            "rng": np.random.default_rng(0),
            **changes,
        }
        optimizer = torch.optim.SGD(self.q_net.parameters(), lr=0.1)
        self.games = getattr(solution, loop)(
            world, self.q_net, target_net, optimizer, **self.settings
        )
        self.updates = listener.updates
        if not isinstance(self.games, list):
            raise WrongError(
                f"{loop} returns a list, a Game for each game, got {type(self.games).__name__}"
            )

    @property
    def played_steps(self) -> list[Step]:
        """The steps after those that fill the memory."""
        return self.world.log[self.settings["prefill"] :]

    def scores(self) -> list[float]:
        """Return what each game after the filling paid."""
        totals: dict[int, float] = {}
        for step in self.played_steps:
            totals[step.episode] = totals.get(step.episode, 0.0) + step.reward
        return list(totals.values())

    def first_steps(self) -> list[int]:
        """Return how many steps of the training came before each game."""
        numbers = [step.episode for step in self.played_steps]
        return [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1]]
