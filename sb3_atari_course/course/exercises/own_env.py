"""Exercise 5, ``own_env``: a corridor as a Gymnasium world."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from stable_baselines3.common.env_checker import check_env

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError

_SIZE = 8
_LEFT, _RIGHT = 0, 1


def _cell(observation: Any) -> int:
    """Return the cell that an observation of a corridor of 8 cells means."""
    return round(float(np.ravel(observation)[0]) * (_SIZE - 1))


def _walk(env: Any, actions: list[int], seed: int) -> list[tuple[int, float, bool]]:
    """Return (cell, reward, terminated) of the start and of each step, until the end."""
    steps = [(_cell(env.reset(seed=seed)[0]), 0.0, False)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        if truncated:
            raise WrongError("step says truncated: the limit of steps is not part of the world")
        steps.append((_cell(observation), float(reward), bool(terminated)))
        if terminated:
            break
    return steps


def spaces_tell_the_truth(solution: Solution) -> None:
    """Observations lie in their space, and SB3's own checker is content."""
    env = solution.Corridor(_SIZE)
    if getattr(env.action_space, "n", None) != 2:
        raise WrongError(f"there are two actions, the action space is {env.action_space}")
    try:
        check_env(env)
    except AssertionError as error:
        raise WrongError(f"SB3's check_env says: {error}") from None


def starts_are_seeded(solution: Solution) -> None:
    """An episode begins in any cell but the goal, the same one for the same seed."""
    env = solution.Corridor(_SIZE)
    seeds = [*range(200), *[None] * 50]  # without a seed chance goes on from the last one
    starts = [_cell(env.reset(seed=seed)[0]) for seed in seeds]
    again = [_cell(env.reset(seed=seed)[0]) for seed in seeds]
    if starts != again:
        raise WrongError(
            "the same seed gave other starts: draw from self.np_random, after"
            " super().reset(seed=seed)"
        )
    counts = np.bincount(starts, minlength=_SIZE)
    if counts[_SIZE - 1]:
        raise WrongError(f"{counts[_SIZE - 1]} of 250 episodes begin at the goal, the last cell")
    if np.any(counts[:-1] == 0):
        missing = int(np.argmin(counts[:-1]))
        raise WrongError(f"none of 250 episodes begins in cell {missing} of {_SIZE} (0 is first)")


def steps_lead_where_they_should(solution: Solution) -> None:
    """Without slipping 0 leads a cell to the left, 1 to the right, and the left wall holds."""
    env = solution.Corridor(_SIZE, slip=0.0)
    for seed in range(30):
        for action, change in ((_LEFT, -1), (_RIGHT, 1)):
            (start, _, _), (cell, _, _) = _walk(env, [action], seed)
            expected = max(0, start + change)
            if cell != expected:
                raise WrongError(
                    f"action {action} in cell {start} leads to cell {cell}, {expected} expected"
                )


def slips_now_and_then(solution: Solution) -> None:
    """With slip=0.3 three of ten steps stay where they were."""
    env = solution.Corridor(1000, slip=0.3)
    position = float(env.reset(seed=0)[0][0])
    stays = 0
    for _ in range(600):
        after = float(env.step(_LEFT if position > 0.5 else _RIGHT)[0][0])
        stays += after == position
        position = after
    if not 0.2 < stays / 600 < 0.4:
        raise WrongError(f"with slip=0.3 {stays / 600:.0%} of 600 steps stayed where they were")


def goal_ends_and_pays(solution: Solution) -> None:
    """The goal alone ends the episode and pays 1; any other step costs 0.1."""
    env = solution.Corridor(_SIZE, slip=0.0)
    for seed in range(30):
        steps = _walk(env, [_LEFT] + [_RIGHT] * (_SIZE + 1), seed)
        for cell, reward, terminated in steps[1:]:
            at_goal = cell == _SIZE - 1
            if terminated != at_goal:
                raise WrongError(f"in cell {cell} of {_SIZE} terminated is {terminated}")
            if not np.isclose(reward, 1.0 if at_goal else -0.1):
                raise WrongError(
                    f"a step into cell {cell} of {_SIZE} paid {reward:g},"
                    f" {1.0 if at_goal else -0.1:g} expected"
                )
        if not steps[-1][2]:
            raise WrongError(f"{_SIZE + 1} steps to the right from cell {steps[1][0]} never end")


def chance_is_the_worlds_own(solution: Solution) -> None:
    """All chance comes from self.np_random: equal seeds, equal episodes."""
    actions = [_RIGHT, _LEFT, _RIGHT] * 30
    env = solution.Corridor(_SIZE, slip=0.5)
    first = _walk(env, actions, seed=7)
    np.random.random(5)  # noqa: NPY002  # others draw from the global generators meanwhile
    random.random()
    if _walk(env, actions, seed=7) != first:
        raise WrongError(
            "the same seed and the same actions gave another episode: only self.np_random is seeded"
            " by reset"
        )
    if all(_walk(env, actions, seed=seed) == first for seed in range(8, 18)):
        raise WrongError("ten other seeds gave the same episode")


OWN_ENV = Exercise(
    functions=("Corridor",),
    properties=(
        spaces_tell_the_truth,
        starts_are_seeded,
        steps_lead_where_they_should,
        slips_now_and_then,
        goal_ends_and_pays,
        chance_is_the_worlds_own,
    ),
)
