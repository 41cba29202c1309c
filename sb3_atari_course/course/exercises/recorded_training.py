"""A training by a student's loop: networks that answer by rule, and a record of every update."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn

from sb3_atari_course.course.exercises.base import Solution, WrongError
from sb3_atari_course.course.exercises.fake_envs import MarkedEnv, Step, marks_of


class RuleNet(nn.Module):
    """A network whose best action in a :class:`MarkedEnv` is (newest mark + shift) % 3."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift
        #: Number of updates that made it what it is.
        self.version = nn.Parameter(torch.zeros(1))
        self.largest_input = 0.0

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return values (B, 3), 1 for the best and 0 for the others; or (3,) for one observation.

        :param observations: (B, 4), or stacks (B, n_stack, height, width) in 0..1.
        """
        if observations.ndim in (1, 3):
            return self.forward(observations[None])[0]
        self.largest_input = max(self.largest_input, float(observations.max()))
        if observations.ndim == 4:
            marks = observations[:, -1, 0, 0] * 255 - 1
        else:
            marks = observations[:, 0] * 100
        actions = (marks.round().long() + self.shift) % 3
        return nn.functional.one_hot(actions, 3) + 0 * self.version


@dataclass(frozen=True)
class Update:
    """One call of the update function.

    :param n_steps: steps that the environment had been played before it.
    :param target_version: number of updates that made the target network.
    :param target_is_online: whether both networks were the same object.
    :param batch: what it was to learn from.
    """

    n_steps: int
    target_version: int
    target_is_online: bool
    batch: Any


def training_settings(**changes: Any) -> dict[str, Any]:
    """Return arguments of a short training without an end of its exploring.

    :param changes: of these, and more of them.
    """
    return {
        "n_episodes": 15,
        "max_steps": 50,
        "memory_size": 1000,
        "prefill": 30,
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


class RecordedTraining:
    """A training by the student's loop, and what was recorded of it.

    :param solution: the student's code.
    :param env: in which it plays.
    :param loop: name of the student's training function.
    :param update: name of the update function that it calls.
    :param changes: of :func:`training_settings`.
    :raises WrongError: if no list is returned.
    """

    def __init__(
        self, solution: Solution, env: MarkedEnv, *, loop: str, update: str, **changes: Any
    ) -> None:
        self.env, self.q_net, target_net = env, RuleNet(), RuleNet(shift=1)
        self.updates: list[Update] = []
        setattr(solution, update, self._record)
        self.settings = training_settings(**changes)
        optimizer = torch.optim.SGD(self.q_net.parameters(), lr=0.1)
        train = getattr(solution, loop)
        self.games = train(env, self.q_net, target_net, optimizer, **self.settings)
        if not isinstance(self.games, list):
            raise WrongError(
                f"{loop} returns a list, a Game for each game, got {type(self.games).__name__}"
            )

    def _record(
        self, q_net: Any, target_net: Any, optimizer: Any, batch: Any, *_: Any, **__: Any
    ) -> float:
        """Record a call of the update function, and make the online network a version newer."""
        if len(batch.actions) != self.settings["batch_size"]:
            raise WrongError(
                f"a batch has {len(batch.actions)} transitions, batch_size is"
                f" {self.settings['batch_size']}"
            )
        version = int(target_net.version.item())
        self.updates.append(Update(len(self.env.log), version, target_net is q_net, batch))
        with torch.no_grad():
            q_net.version += 1
        return 0.0

    @property
    def played_steps(self) -> list[Step]:
        """The steps after those that fill the memory."""
        return self.env.log[self.settings["prefill"] :]

    @property
    def are_best(self) -> list[bool]:
        """Whether each of these steps took the network's best action."""
        return [step.action == step.state % 3 for step in self.played_steps]

    @property
    def played_games(self) -> list[list[Step]]:
        """The same steps, game by game."""
        return [list(game) for _, game in groupby(self.played_steps, lambda step: step.episode)]

    def check_memory(self) -> None:
        """Check that what was learned from really happened, and is remembered as it was seen.

        :raises WrongError: for the first transition that is wrong.
        """
        for update in self.updates:
            batch = update.batch
            for name in ("states", "next_states"):
                self._check_kind(name, getattr(batch, name))
            rows = (batch.actions.tolist(), batch.rewards.tolist(), batch.ended.tolist())
            states, next_states = batch.states.numpy(), batch.next_states.numpy()
            for state, after, *row in zip(states, next_states, *rows, strict=True):
                step = self._check_marks(update.n_steps, marks_of(state), marks_of(after))
                self._check_step(step, *row)

    def _check_kind(self, name: str, observations: torch.Tensor) -> None:
        """Check that screens are remembered as bytes, and stacked as the arguments say."""
        if not self.env.screens:
            return
        if observations.dtype != torch.uint8:
            raise WrongError(
                f"the memory holds {observations.dtype}: keep bytes (uint8), floats need four times"
                " as much; they are divided by 255 when the network needs them"
            )
        found = tuple(observations.shape[1:])
        expected = (self.settings["n_stack"], *self.settings["shape"])
        if found != expected:
            raise WrongError(
                f"{name} of a batch have the shape (B, *{found}), not (B, *{expected}): n_stack,"
                " shape and crop are arguments"
            )

    def _check_marks(self, n_steps: int, seen: list[int], later: list[int]) -> Step:
        """Check the marks of a remembered state and its next state; return the step between."""
        if seen == later:
            raise WrongError(
                f"state and next_state of a transition are the same, {_show(seen)}: next_state is"
                " the old state, or is it changed in place? Make a new array for each step"
            )
        oldest = max(0, n_steps - self.settings["memory_size"] - 1)
        moments = {self.env.log[i].state: i for i in range(oldest, n_steps)}
        if seen[-1] not in moments:
            if seen[-1] in {step.state for step in self.env.log[:oldest]}:
                raise WrongError(
                    f"with memory_size={self.settings['memory_size']} an older transition was"
                    " learned from: a deque with maxlen forgets by itself"
                )
            raise WrongError(
                f"a remembered state, {_show(seen)}, was never the newest when a step was made: the"
                " newest frame comes last, and state is what was seen before the step"
            )
        step = self.env.log[moments[seen[-1]]]
        ages = range(len(seen) - 1, -1, -1)
        expected = [step.state - min(age, step.state % 20) for age in ages]  # back to its reset
        if seen != expected:
            raise WrongError(
                f"a remembered stack is {_show(seen)}, expected {_show(expected)}:"
                f" {_stack_hint(seen, expected)}"
            )
        expected = [*expected[1:], step.next_state]
        if later != expected:
            raise WrongError(
                f"the step after {_show(seen)} led to {_show(expected)}, remembered is"
                f" {_show(later)}: state must become next_state after each step, and the next"
                " stack is this one without its oldest frame"
            )
        return step

    def _check_step(self, step: Step, action: int, reward: float, ended: float) -> None:
        """Check what is remembered of a step besides its states."""
        paid = float(np.sign(step.reward)) if self.env.screens else step.reward
        if (action, round(reward, 4)) != (step.action, paid):
            hint = " (the agent learns from its sign)" if self.env.screens else ""
            raise WrongError(
                f"action {action}, reward {reward:g} are remembered of a step with action"
                f" {step.action}, reward {paid:g}{hint}"
            )
        if bool(ended) != step.terminated:
            hint = ": the clock cut it off (truncated), that is no end" if step.truncated else ""
            raise WrongError(
                f"a step is remembered with ended={ended}, terminated was {step.terminated}{hint}"
            )


def _show(marks: list[int]) -> str:
    """Return where marks come from, as text."""
    return ", ".join(f"(game {mark // 20}, step {mark % 20})" for mark in marks)


def _stack_hint(seen: list[int], expected: list[int]) -> str:
    if seen == expected[::-1]:
        return "the newest frame comes last"
    if len(set(seen)) == 1:
        return "the same frame again and again; add each new one to the stack"
    return "a new game begins with a new stack, its first frame n_stack times"
