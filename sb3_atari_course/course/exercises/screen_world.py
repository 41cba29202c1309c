"""A game whose screens tell when they were shown, so that wrong stacks give themselves away."""

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
#: Top, bottom, left, right of what the agent sees; around it all is white.
CROP = (28, 190, 8, 148)
#: Height and width of the agent's pictures: not those of the lesson, which are arguments.
SHAPE = (60, 48)
#: Greys from one game to the next: no game has as many steps.
_GREYS_PER_GAME = 20
#: Greys of all games; the next one begins again from the first.
_GREYS = 240


def grey_of(episode: int, step: int) -> int:
    """Return the grey of the screen at a moment, 1 to 240."""
    return 1 + (episode * _GREYS_PER_GAME + step) % _GREYS


class ScreenWorld(WatchedWorld):
    """Screens (210, 160, 3) uint8, of one grey inside :data:`CROP`: that of :func:`grey_of`.

    A step pays 0, 1, 4 or 7, in turn; a game is terminated after 11, 15 or 6 steps. The observation
    that the log keeps is the grey.

    :param lengths_of: steps after which a game is terminated.
    :param time_limit: see :class:`WatchedWorld`.
    """

    def __init__(
        self, lengths_of: tuple[int, ...] = (11, 15, 6), *, time_limit: int | None = None
    ) -> None:
        super().__init__(N_ACTIONS, time_limit)
        self.observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8)
        self.lengths_of = lengths_of

    def first_state(self) -> NDArray[Any]:
        """Return the first screen of the game."""
        return self._screen()

    def outcome(self, action: int) -> tuple[NDArray[Any], float, bool]:
        """Go on by a step."""
        step = self.lengths[-1]
        ends = step == self.lengths_of[(len(self.lengths) - 1) % len(self.lengths_of)]
        return self._screen(), float((0, 1, 4, 7)[step % 4]), ends

    def _screen(self) -> NDArray[Any]:
        screen = np.full((210, 160, 3), 255, np.uint8)
        top, bottom, left, right = CROP
        screen[top:bottom, left:right] = grey_of(len(self.lengths) - 1, self.lengths[-1] % 20)
        return screen


def best_actions(stacks: torch.Tensor) -> torch.Tensor:
    """Return the newest grey modulo 3, for stacks (B, n_stack, h, w) in 0..1."""
    return (stacks[:, -1].float().mean(dim=(1, 2)) * 255).round().long() % N_ACTIONS


def grey_inside(screen: NDArray[Any]) -> int:
    """Return the grey of a screen, where the agent sees it."""
    return int(screen[CROP[0], CROP[2], 0])


def check_remembered(log: Sequence[Step], batch: Any, *, n_stack: int, memory_size: int) -> None:
    """Check that what is learned from really happened, and how it is kept.

    :param log: all steps of a ScreenWorld so far.
    :param batch: states, actions, rewards, next states, ended: tensors with a row for each.
    :param n_stack: pictures in a stack.
    :param memory_size: steps that may be remembered, less than 12 games: greys begin again then.
    :raises WrongError: for the first stack or transition that is wrong.
    """
    for name in ("states", "next_states"):
        stacks = getattr(batch, name)
        if stacks.dtype != torch.uint8:
            raise WrongError(
                f"the memory holds {stacks.dtype}: keep bytes (uint8), floats need four times as"
                " much; they are divided by 255 when the network needs them"
            )
        if tuple(stacks.shape[1:]) != (n_stack, *SHAPE):
            raise WrongError(
                f"{name} of a batch have the shape {tuple(stacks.shape)}, not"
                f" (B, {n_stack}, {SHAPE[0]}, {SHAPE[1]}): n_stack, shape and crop are arguments"
            )
    newest = range(max(0, len(log) - memory_size - 1), len(log))
    really = {grey_inside(log[i].state): (i, log[i]) for i in newest}
    states, next_states = batch.states.numpy(), batch.next_states.numpy()
    fields = zip(batch.actions.tolist(), batch.rewards.tolist(), batch.ended.tolist(), strict=True)
    for stack, after, (action, reward, ended) in zip(states, next_states, fields, strict=True):
        greys, later = _greys(stack), _greys(after)
        if greys == later:
            raise WrongError(
                f"state and next_state of a transition are the same stack, with the greys {greys}:"
                " is it changed in place? Make a new array for each step"
            )
        entry = really.get(greys[-1])
        if entry is None:
            raise WrongError(
                f"a remembered stack shows the greys {greys}; none was the newest when"
                " a step was made: the newest picture comes last"
            )
        number, step = entry
        expected = _expected(log, number, n_stack)
        if greys != expected:
            raise WrongError(_stack_hint(greys, expected))
        if later != [*expected[1:], grey_inside(step.next_state)]:
            raise WrongError(
                f"a step led from the stack {greys} to {later}: the next stack is this"
                f" one without its oldest picture, and {grey_inside(step.next_state)}"
            )
        _compare(step, action, reward, bool(ended))


def _greys(stack: NDArray[Any]) -> list[int]:
    """Return the grey of each picture of a stack."""
    for picture in stack:
        if np.ptp(picture):
            raise WrongError(
                "the white frame around the field is in the picture: crop each screen by the"
                " argument `crop`, the first of a game too"
            )
    return [int(picture[0, 0]) for picture in stack]


def _expected(log: Sequence[Step], number: int, n_stack: int) -> list[int]:
    """Return the greys that the agent should have seen before step ``number`` of the log."""
    episode = log[number].episode
    first = number
    while first > 0 and log[first - 1].episode == episode:
        first -= 1
    return [grey_inside(log[max(first, number - age)].state) for age in range(n_stack - 1, -1, -1)]


def _stack_hint(greys: list[int], expected: list[int]) -> str:
    message = f"a remembered stack shows the greys {greys}, expected are {expected}"
    if greys == expected[::-1]:
        return f"{message}: the newest picture comes last"
    if len(set(greys)) == 1 and greys[-1] == expected[-1]:
        return f"{message}: the same picture again and again; add each new one to the stack"
    if len(set(expected)) < len(expected) and greys[-1] == expected[-1]:
        return (
            f"{message}: a new game begins with a new stack, its first picture n_stack times;"
            " nothing of the game before is in it"
        )
    return message


def _compare(step: Step, action: int, reward: float, ended: bool) -> None:
    """Compare what is remembered of a step with what happened."""
    if action != step.action:
        raise WrongError(f"action {step.action} was taken, {action} is remembered")
    if reward != np.sign(step.reward):
        hint = " (the agent learns from its sign)" if reward == step.reward else ""
        raise WrongError(
            f"a step paid {step.reward:g}, {np.sign(step.reward):g} is to be remembered, got"
            f" {reward:g}{hint}"
        )
    if ended != step.terminated:
        hint = ": the clock cut it off (truncated), that is no end" if step.truncated else ""
        raise WrongError(
            f"a step is remembered with ended={ended}, the game said {step.terminated}{hint}"
        )
