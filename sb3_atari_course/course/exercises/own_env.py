"""Exercise 5, ``own_env``: a corridor as a Gymnasium environment.

It is walked through at other sizes than the lesson's, and each step is compared with what it should
have been.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env

from sb3_atari_course.course.exercises.corridor_walks import LEFT, RIGHT, Step, Walker
from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.random_sources import changed_sources, check_source

_SEED = 123456
_SIZES = (5, 30, 2)


def spaces_fit(solution: Solution) -> None:
    """The spaces: Discrete(2) for actions, Box(0, 1) of shape (1,) and float32 for observations."""
    for size in (8, 20):
        env = Walker(solution, size).env
        for name in ("action_space", "observation_space"):
            if not isinstance(getattr(env, name, None), spaces.Space):
                raise WrongError(f"self.{name} is not set to a space in __init__")
        actions: Any = env.action_space
        if not isinstance(actions, spaces.Discrete) or (actions.n, actions.start) != (2, 0):
            raise WrongError(f"the action space is {actions}; two actions, 0 and 1: Discrete(2)")
        box: Any = env.observation_space
        if not isinstance(box, spaces.Box):
            raise WrongError(f"the observation space is {box}; one number from 0 to 1: a Box")
        if box.shape != (1,):
            raise WrongError(f"the Box has shape {box.shape}; an array of one number: shape=(1,)")
        if box.dtype != np.float32:
            raise WrongError(f"the Box has dtype {box.dtype}; observations are float32")
        low, high = float(box.low[0]), float(box.high[0])
        if not np.isfinite([low, high]).all():
            raise WrongError(f"the Box from {low} to {high} has no bounds; positions are in 0..1")
        if (low, high) != (0.0, 1.0):
            raise WrongError(
                f"the Box for {size} cells goes from {low:g} to {high:g}; observations go from 0"
                " (first cell) to 1 (the goal)"
            )


def returned_values_have_their_types(solution: Solution) -> None:
    """What reset (two values) and step (five) return has the types that algorithms expect."""
    for size in (8, 20):
        walker = Walker(solution, size)
        for seed in range(10):
            for action in (LEFT, RIGHT, np.int64(RIGHT)):
                walker.reset(seed=seed)
                walker.step(action)


def observations_are_scaled(solution: Solution) -> None:
    """The observation is the position / (size - 1), for any size."""
    for size in (8, 20, 33):
        for seed in range(20):
            walker = Walker(solution, size)
            walker.start(seed=seed)
            walker.move(RIGHT)


def starts_are_seeded(solution: Solution) -> None:
    """A reset samples from self.np_random: equal starts for equal seeds, others without a seed."""
    walker = Walker(solution, 20)
    check_source(solution, walker.env, "reset", lambda: walker.start(_SEED), seed=_SEED)
    check_source(solution, walker.env, "reset", walker.start)
    seeds = [*range(20), *[None] * 20]
    starts = [walker.start(seed) for seed in seeds]
    np.random.random(5)  # noqa: NPY002  # others use the global generators meanwhile
    random.random()
    again = [walker.start(seed) for seed in seeds]
    for seed, first, second in zip(seeds, starts, again, strict=True):
        if first != second:
            walker.start(_SEED)
            raise WrongError(
                f"reset({'' if seed is None else f'seed={seed}'}) gave cell {first}, the second"
                f" time {second}, after the same seed: {_why_unseeded(solution, walker, seed)}"
            )


def _why_unseeded(solution: Solution, walker: Walker, seed: int | None) -> str:
    """Return the likely cause of other starts after the same seed."""
    others = changed_sources(solution, walker.env, walker.start)
    if others:
        return f"reset samples from {', '.join(others)}; only self.np_random is seeded"
    if walker.env.np_random_seed != _SEED:
        return "super().reset(seed=seed) is missing in reset, or is not given the seed"
    if seed == 0:
        return "0 is a seed, too; pass seed on as it is, super().reset(seed=seed)"
    return "call super().reset(seed=seed) first, always; then sample from self.np_random only"


def starts_are_uniform(solution: Solution) -> None:
    """An episode starts in any cell but the goal, each as likely as the others."""
    for size, n_starts in ((5, 2000), (30, 800), (2, 5)):
        walker = Walker(solution, size)
        starts = [walker.start(seed=0)] + [walker.start() for _ in range(n_starts - 1)]
        if not 0 <= min(starts) <= max(starts) < size:
            cell = min(starts) if min(starts) < 0 else max(starts)
            raise WrongError(f"an episode of {size} cells starts in cell {cell}")
        counts = np.bincount(starts, minlength=size)
        seen = f"of {n_starts} episodes in a corridor of {size} cells"
        if counts[-1]:
            raise WrongError(f"{counts[-1]} {seen} start at the goal, cell {size - 1}")
        if len(set(starts)) == 1 and size > 2:
            raise WrongError(
                f"all {seen} start in cell {starts[0]}: does reset set self.position to what was"
                " sampled?"
            )
        if not counts[:-1].all():
            missing = [cell for cell in range(size - 1) if not counts[cell]]
            raise WrongError(
                f"none {seen} starts in cell {', '.join(map(str, missing))}; the starts are 0 to"
                f" self.size - 2 (integers(n) samples from 0 to n - 1)"
            )
        expected = n_starts / (size - 1)
        if np.abs(counts[:-1] - expected).max() > 6 * np.sqrt(expected):
            raise WrongError(
                f"the cells are not equally likely: {seen} start {counts[:-1].tolist()}, about"
                f" {expected:.0f} each expected"
            )


def steps_lead_where_they_should(solution: Solution) -> None:
    """Without slipping 0 leads a cell to the left, 1 to the right, and the left wall holds."""
    for make in (int, np.int64):
        for size in _SIZES:
            walker = Walker(solution, size)
            steps = walker.walk(map(make, _some_actions(400)), _is_wrong)
            wrong = [step for step in steps if _is_wrong(step)]
            if wrong:
                first = wrong[0]
                cause = _why_wrong(solution, steps, wrong)
                if make is np.int64:
                    cause = (
                        ": the action is a NumPy integer, as algorithms pass it; Python's int leads"
                        " where it should (compare with ==, not by is or isinstance)"
                    )
                raise WrongError(
                    f"action {first.action} in cell {first.cell} of {size} leads to cell"
                    f" {first.next_cell}, {first.expected_cell} expected{cause}"
                )


def _is_wrong(step: Step) -> bool:
    return step.next_cell != step.expected_cell


def _why_wrong(solution: Solution, steps: list[Step], wrong: list[Step]) -> str:
    """Return the likely cause of steps without slip that lead elsewhere, or nothing."""
    stays = [step for step in wrong if _slipped(step)]
    inner = [step for step in steps if step.cell > 0]
    if all(_slipped(step) for step in steps if not step.is_at_wall):
        if any(not _slipped(step) for step in Walker(solution, 30).walk([RIGHT] * 3)):
            return ": the observation is that of before the step"
        if any(not _slipped(step) for step in Walker(solution, 30, slip=1.0).walk([RIGHT] * 3)):
            return ": the slip is the wrong way round, it moves only if it slipped"
        return ": it never moves"
    if all(step.is_at_wall for step in wrong):
        return ": the wall on the left holds, the position never gets below 0"
    if all(step.next_cell == step.cell + (1 if step.action == LEFT else -1) for step in inner):
        return ": the actions are swapped, 0 is left and 1 is right"
    if len(stays) == len(wrong) and len({(step.cell, step.action) for step in stays}) > 3:
        return (
            f": {len(stays)} of {len(steps)} steps stayed where they were, though slip is 0; take"
            " the probability from self.slip"
        )
    if all(step.is_first for step in wrong) and any(not step.is_first for step in steps):
        return ": the first step after reset starts elsewhere than reset's observation says"
    return ""


def slips_are_seeded(solution: Solution) -> None:
    """A step samples from self.np_random: equal seeds and actions, equal episodes."""
    walker = Walker(solution, 1000, slip=0.5)
    seed = next((seed for seed in range(100) if 150 < walker.start(seed) < 850), 0)
    walker.start(seed)  # far from both ends
    actions = [LEFT, RIGHT] * 50
    check_source(solution, walker.env, "step", lambda: [walker.move(action) for action in actions])

    def episode() -> list[int]:
        walker.start(seed)
        return [walker.move(action).next_cell for action in actions]

    first = episode()
    np.random.random(5)  # noqa: NPY002
    random.random()
    if episode() != first:
        others = changed_sources(solution, walker.env, episode)
        raise WrongError(
            f"the same seed and the same actions gave another episode:"
            f" {', '.join(others) or 'something that reset keeps'} is not seeded; sample from"
            " self.np_random only"
        )


def slips_are_as_likely_as_said(solution: Solution) -> None:
    """Each step slips with probability slip, and a slipped step stays where it was."""
    for slip in (0.3, 0.8):
        walker = Walker(solution, 40, slip=slip)
        steps = [step for step in walker.walk(_some_actions(1200)) if not step.is_at_wall]
        for step in steps:
            if step.next_cell not in (step.cell, step.expected_cell):
                raise WrongError(
                    f"with slip={slip} action {step.action} in cell {step.cell} led to cell"
                    f" {step.next_cell}: a step that slips stays where it was"
                )
        left, right = ([step for step in steps if step.action == one] for one in (LEFT, RIGHT))
        after = [two for one, two in pairwise(steps) if _slipped(one) and not two.is_first]
        groups = (left, right, after)
        shares = [_share_of_slips(group) for group in groups]
        if any(abs(share - slip) > 0.15 for share, g in zip(shares, groups, strict=True) if g):
            raise WrongError(
                f"with slip={slip} {shares[0]:.0%} of {len(left)} steps to the left stayed where"
                f" they were, {shares[1]:.0%} of {len(right)} to the right, {shares[2]:.0%} of the"
                f" {len(after)} after a slip; {slip:.0%} expected: compare with self.slip, and"
                " sample again for each step"
            )
    steps = Walker(solution, 40, slip=1.0).walk(_some_actions(50))
    if not all(_slipped(step) for step in steps):
        raise WrongError("with slip=1 not all steps stayed where they were")


def _slipped(step: Step) -> bool:
    return step.next_cell == step.cell


def _share_of_slips(steps: list[Step]) -> float:
    return sum(map(_slipped, steps)) / max(1, len(steps))


def goal_ends_the_episode(solution: Solution) -> None:
    """The goal alone ends the episode and brings 1; any other step costs 0.1, slipped ones too."""
    for size in _SIZES:
        steps = Walker(solution, size, slip=0.4).walk(_some_actions(600))
        goals = [number for number, step in enumerate(steps) if step.next_cell == size - 1]
        if goals and all(step.terminated for step in steps[goals[0] :]):
            raise WrongError("after the first episode terminated is True in every step: reset it")
        for step in steps:
            _check_end(step, size)
        for kind, group in _kinds_of_steps(steps, size).items():
            expected = 1.0 if kind == "that reaches the goal" else -0.1
            for step in group:
                if not np.isclose(step.reward, expected):
                    raise WrongError(
                        f"a step {kind} (cell {step.cell} to {step.next_cell} of {size}) has reward"
                        f" {step.reward:g}, {expected:g} expected"
                    )


def _kinds_of_steps(steps: list[Step], size: int) -> dict[str, list[Step]]:
    """Return steps by what they did."""
    goal = [step for step in steps if step.next_cell == size - 1]
    others = [step for step in steps if step.next_cell != size - 1]
    return {
        "that reaches the goal": goal,
        "that moves": [step for step in others if not _slipped(step)],
        "that slipped": [step for step in others if _slipped(step) and not step.is_at_wall],
        "against the wall": [step for step in others if step.is_at_wall],
    }


def _check_end(step: Step, size: int) -> None:
    """Refuse terminated anywhere but at the goal."""
    at_goal = step.next_cell == size - 1
    if step.terminated == at_goal:
        return
    hint = "only the last cell, self.size - 1, ends an episode"
    if at_goal:
        hint = "the last cell, self.size - 1, ends the episode; compare after the move"
    elif step.next_cell == 0:
        hint += "; the wall on the left does not"
    elif step.next_cell == size - 2:
        hint += ", this is one cell too early"
    raise WrongError(
        f"after a step from cell {step.cell} to cell {step.next_cell} of {size} terminated is"
        f" {step.terminated}: {hint}"
    )


def time_does_not_matter(solution: Solution) -> None:
    """The environment does not count steps: max_episode_steps of gym.register truncates."""
    walker = Walker(solution, 5)
    walker.start(seed=0)
    steps = [walker.move(LEFT) for _ in range(2500)]
    steps += walker.walk([RIGHT] * 50)
    for number, step in enumerate(steps, 1):
        if step.truncated:
            where = "at the goal" if step.terminated else f"after {number} steps"
            raise WrongError(
                f"{where} truncated is True; return False: max_episode_steps of gym.register cuts"
                " long episodes off"
            )
        if step.terminated != (step.next_cell == 4) or _is_wrong(step):
            raise WrongError(
                f"after {number} steps a step leads from cell {step.cell} to cell {step.next_cell},"
                f" terminated is {step.terminated}: the environment does not count steps"
            )
        if step.next_cell < 4 and not np.isclose(step.reward, -0.1):
            raise WrongError(f"after {number} steps the reward is {step.reward:g}, not -0.1")


def environments_are_independent(solution: Solution) -> None:
    """Two environments at once do not disturb each other."""

    def episode(other: Walker | None) -> list[Any]:
        walker = Walker(solution, 8, slip=0.3)
        others = [other, Walker(solution, 5, slip=0.9)] if other else []
        seen: list[Any] = [round(walker.reset(seed=1)[0].item(), 3)]
        for one in others:
            one.reset(seed=2)
        for action in _some_actions(100):
            observation, *rest, _ = walker.step(action)
            seen.append((round(observation.item(), 3), *rest))
            if rest[1]:  # terminated
                break
            for one in others:
                if one.step(RIGHT)[2]:
                    one.reset()
        return seen

    alone = episode(None)
    together = episode(Walker(solution, 4, slip=0.1))
    for number, (one, two) in enumerate(zip(alone, together, strict=False)):
        if one != two:
            raise WrongError(
                f"with two more corridors beside it, step {number} of an episode gave {two}, alone"
                f" {one}: what belongs to one environment is kept in self, not in the class"
                " (Corridor.position = ...), nor in a global variable"
            )


def returned_objects_stay_as_they_are(solution: Solution) -> None:
    """Each observation is a new array and each info a new dict."""
    walker = Walker(solution, 30)
    arrays, copies, infos = list[Any](), list[Any](), list[dict[str, Any]]()
    for _ in range(2):
        observation, info = walker.reset(seed=_SEED)
        for action in (LEFT, RIGHT, LEFT, LEFT):
            arrays.append(observation)
            copies.append(observation.copy())
            infos.append(info)
            observation, *_, info = walker.step(action)
    for number, (array, copy) in enumerate(zip(arrays, copies, strict=True)):
        if not np.array_equal(array, copy):
            raise WrongError(
                f"observation {number} was {copy[0]:.4g}, and is {array[0]:.4g} some steps later:"
                " return a new array each time, the replay buffer keeps the old one"
            )
    if len({id(array) for array in arrays}) < len(arrays):
        raise WrongError("two observations are the same array: return a new one each time")
    if len({id(info) for info in infos}) < len(infos):
        raise WrongError(
            "two infos are the same dict: return a new one each time, {}; wrappers write into it"
        )


def sb3_accepts_it(solution: Solution) -> None:
    """SB3's check_env accepts the environment."""
    env = Walker(solution, 8, slip=0.1).env
    try:
        check_env(env)
    except Exception as error:
        raise WrongError(f"SB3's check_env says: {error}") from None


def _some_actions(n: int) -> list[int]:
    """Return n random actions, seven of ten to the right."""
    return [int(right) for right in np.random.default_rng(0).random(n) < 0.7]


OWN_ENV = Exercise(
    functions=("Corridor",),
    properties=(
        spaces_fit,
        returned_values_have_their_types,
        observations_are_scaled,
        starts_are_seeded,
        starts_are_uniform,
        steps_lead_where_they_should,
        slips_are_seeded,
        slips_are_as_likely_as_said,
        goal_ends_the_episode,
        time_does_not_matter,
        environments_are_independent,
        returned_objects_stay_as_they_are,
        sb3_accepts_it,
    ),
)
