"""Walks through a student's corridor: each returned value is checked before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.judging import Solution, WrongError

LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class Step:
    """One step; cells are those that the observations mean.

    :param is_first: whether it followed a reset.
    """

    cell: int
    action: int
    next_cell: int
    reward: float
    terminated: bool
    truncated: bool
    is_first: bool

    @property
    def is_at_wall(self) -> bool:
        """Whether the wall on the left held the agent back, or should have."""
        return self.cell == 0 and self.action == LEFT

    @property
    def expected_cell(self) -> int:
        """Where a step leads that does not slip."""
        return self.cell + 1 if self.action == RIGHT else max(0, self.cell - 1)


class Walker:
    """A corridor of the student's, and the cell where it is.

    :param solution: the student's code.
    :param size: number of cells.
    :param slip: probability that a step stays where it was.
    :raises WrongError: if it is not an environment with the arguments of the lesson.
    """

    def __init__(self, solution: Solution, size: int, slip: float = 0.0) -> None:
        _bind("Corridor", solution.Corridor, size, slip=slip)
        self.env = solution.Corridor(size, slip=slip)
        self.size = size
        self._cell, self._is_first, self._starts_as_numpy = -1, True, False
        if not isinstance(self.env, gym.Env):
            raise WrongError(f"Corridor(...) made {_describe(self.env)}: derive it from gym.Env")
        for method in ("reset", "step"):
            if getattr(type(self.env), method) is getattr(gym.Env, method):
                raise WrongError(f"there is no method {method} in your Corridor")
        _bind("reset", self.env.reset, seed=0, options=None)
        _bind("step", self.env.step, LEFT)

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the observation and the info of a reset; without a seed it is not passed."""
        returned = self.env.reset() if seed is None else self.env.reset(seed=seed)
        if not isinstance(returned, tuple) or len(returned) != 2:
            missing = " (a return is missing)" if returned is None else ""
            raise WrongError(
                f"reset returned {_describe(returned)}{missing}; it returns two values, the"
                " observation and a dict: return self._observe(), {}"
            )
        observation, info = returned
        self._starts_as_numpy = isinstance(getattr(self.env, "position", None), np.integer)
        _check_observation("reset", observation)
        _check_info("reset", info)
        return observation, info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Return the observation, reward, terminated, truncated and the info of a step."""
        returned = self.env.step(action)
        if not isinstance(returned, (tuple, list)) or len(returned) != 5:
            missing = " (a return is missing)" if returned is None else ""
            raise WrongError(
                f"step returned {_describe(returned)}{missing}; it returns five values:"
                " observation, reward, terminated, truncated, info (old gym: four, with done)"
            )
        observation, reward, terminated, truncated, info = returned
        _check_observation("step", observation)
        if not isinstance(reward, (int, float)):
            raise WrongError(f"the reward is {_describe(reward)}: return a float, float(...)")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            self._check_flag(name, flag)
        _check_info("step", info)
        return observation, float(reward), terminated, truncated, info

    def start(self, seed: int | None = None) -> int:
        """Reset, and return the cell."""
        self._cell, self._is_first = self._read_cell(self.reset(seed)[0]), True
        return self._cell

    def move(self, action: Any) -> Step:
        """Do a step from the present cell."""
        observation, reward, terminated, truncated, _ = self.step(action)
        cell, is_first = self._cell, self._is_first
        self._cell, self._is_first = self._read_cell(observation), False
        return Step(cell, int(action), self._cell, reward, terminated, truncated, is_first)

    def walk(
        self, actions: Iterable[Any], is_over: Callable[[Step], bool] = lambda step: False
    ) -> list[Step]:
        """Do a step for each action; a new episode begins at the goal, and after wrong ends.

        :param actions: as Python's or NumPy's integers.
        :param is_over: when a new episode begins, too.
        """
        self.start(seed=0)  # a check gives the same result when it is repeated
        steps = []
        for action in actions:
            step = self.move(action)
            steps.append(step)
            if step.terminated or step.next_cell >= self.size - 1 or is_over(step):
                self.start()
        return steps

    def _read_cell(self, observation: NDArray[np.float32]) -> int:
        """Return the cell that an observation means; one beyond each end may be returned."""
        value, last = float(observation[0]), self.size - 1
        cell = round(value * last)
        if abs(value * last - cell) < 1e-3 and -1 <= cell <= self.size:
            return cell
        scales = ((1, "not scaled"), (self.size, "divided by size"), (19, "divided by 19"))
        fits = [name for n, name in scales if abs(value * n - round(value * n)) < 1e-3]
        if abs(value * last - cell) < 1e-3 and not fits:
            raise WrongError(
                f"the observation {value:.4g} in a corridor of {self.size} cells is that of cell"
                f" {cell}, there are 0 to {last}: take the number of cells from self.size"
            )
        likely = f"is the position {fits[0]}? " if fits else ""
        raise WrongError(
            f"the observation {value:.4g} in a corridor of {self.size} cells is none of 0/{last},"
            f" 1/{last}, ..., {last}/{last}: {likely}It is self.position / (self.size - 1)"
        )

    def _check_flag(self, name: str, flag: Any) -> None:
        """Refuse a flag that is not Python's bool, as SB3 does."""
        if isinstance(flag, bool):
            return
        if not isinstance(flag, np.bool_):
            raise WrongError(f"{name} is {_describe(flag)}: return True or False")
        cause = "a comparison with NumPy's numbers gives numpy.bool"
        advice = "bool(...) around the comparison"
        if self._starts_as_numpy:
            cause = (
                "self.position is a NumPy integer, as self.np_random.integers(...) returns it, and"
                " == of it gives numpy.bool"
            )
            advice = f"int(self.np_random.integers(...)) in reset, or {advice}"
        elif isinstance(getattr(self.env, "position", None), np.integer):
            cause = (
                "the action is a NumPy integer, as algorithms pass it, it makes self.position one,"
                " and == of that gives numpy.bool"
            )
            advice = f"int(action), or {advice}"
        raise WrongError(
            f"{name} is a numpy.bool, and SB3's check_env says that it must be a boolean, Python's"
            f" bool. Why: {cause}. Write {advice}"
        )


def _bind(name: str, function: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse a function that does not take the arguments of the lesson."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise WrongError(f"{name}: {error}; keep the arguments of the lesson") from None


def _check_observation(method: str, observation: Any) -> None:
    """Refuse what does not lie in a space of one float32."""
    if not isinstance(observation, np.ndarray):
        raise WrongError(
            f"the observation of {method} is {_describe(observation)}: return a NumPy array of one"
            " number, as _observe does"
        )
    if observation.shape != (1,) or observation.dtype != np.float32:
        raise WrongError(
            f"the observation of {method} has shape {observation.shape} and dtype"
            f" {observation.dtype}; the space has (1,) and float32"
        )
    if not np.isfinite(observation).all():
        raise WrongError(f"the observation of {method} is {observation}")


def _check_info(method: str, info: Any) -> None:
    if not isinstance(info, dict):
        raise WrongError(f"the info of {method} is {_describe(info)}: return a dict, {{}}")


def _describe(value: Any) -> str:
    """Return what a value is, for a message."""
    if value is None:
        return "None"
    name = type(value).__name__
    text = f"an {name}" if name[0] in "aeiou" else f"a {name}"
    if isinstance(value, (tuple, list)):
        text += f" of {len(value)} values"
    return text
