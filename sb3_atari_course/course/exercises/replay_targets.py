"""Exercise of lesson 3, ``replay_targets``: bytes of a replay buffer, n-step targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError

#: n_transitions, n_stack, height, width; the last one needs more than 32 bits.
_SIZES = ((1200, 5, 20, 30), (300, 1, 7, 5), (1_000_000, 4, 84, 84))


def _bytes_of(solution: Solution, sizes: tuple[int, int, int, int], each_frame_once: bool) -> float:
    """Call ``buffer_bytes``; return what it returns as a number."""
    n_bytes = solution.buffer_bytes(*sizes, each_frame_once)
    if n_bytes is None:
        raise WrongError("buffer_bytes returns None: is its return missing?")
    try:
        return float(n_bytes)
    except (TypeError, ValueError):
        raise WrongError(f"buffer_bytes returns a number of bytes, got {n_bytes!r}") from None


def _cause_of_bytes(ratio: float, sizes: tuple[int, int, int, int]) -> str:
    """Return why a result differs from the right one by this factor."""
    n_transitions, n_stack, height, width = sizes
    causes = {
        4.0: "a pixel is one byte (uint8), not four (float32)",
        8.0: "bytes are asked for, not bits",
        3.0: "frames are gray: one byte per pixel, not three",
        height / width: "height is used twice, width is missing",
        width / height: "width is used twice, height is missing",
        4 / n_stack: "n_stack is an argument, it is not always 4",
        84 * 84 / (height * width): "height and width are arguments, not always 84",
        1e6 / n_transitions: "n_transitions is an argument, not always a million",
        1 / n_transitions: "n_transitions is missing: these are the bytes of one transition",
        1 / (height * width): "this is the number of frames: each has height * width bytes",
    }
    units = {1e-9: "GB", 1e-6: "MB", 1e-3: "kB", 2.0**-30: "GiB", 2.0**-20: "MiB"}
    causes |= {factor: f"bytes are asked for, not {unit}" for factor, unit in units.items()}
    return _by_ratio(ratio, causes)


def _by_ratio(ratio: float, causes: dict[float, str]) -> str:
    """Return the cause of this factor, empty if it is unknown."""
    return next((cause for one, cause in causes.items() if math.isclose(ratio, one)), "")


def _check_bytes(
    solution: Solution, *, each_frame_once: bool, causes: Callable[[int], dict[float, str]]
) -> None:
    """Compare ``buffer_bytes`` with the right number, in several sizes.

    :param causes: n_stack -> {factor of the wrong result: cause}, looked at before all others.
    """
    for sizes in _SIZES:
        n_transitions, n_stack, height, width = sizes
        right = n_transitions * (1 if each_frame_once else 2 * n_stack) * height * width
        seen = _bytes_of(solution, sizes, each_frame_once)
        # the first stack of an episode may be counted, too
        more = n_stack * height * width if each_frame_once else 0
        if right <= seen <= right + more:
            continue
        ratio = seen / right
        cause = _by_ratio(ratio, causes(n_stack)) or _cause_of_bytes(ratio, sizes)
        if not cause and (seen - right) % 2**32 == 0:
            cause = "the product does not fit into 32 bits: use Python's int or np.int64"
        how = "each frame stored once" if each_frame_once else "both stacks stored"
        raise WrongError(
            f"{n_transitions:,} transitions, stacks of {n_stack} frames of {height} x {width},"
            f" {how}: {right:,} bytes expected, got {seen:,.10g}{': ' if cause else ''}{cause}"
        )


def stacks_are_stored_twice(solution: Solution) -> None:
    """With both stacks of each transition: two observations of n_stack frames."""
    _check_bytes(
        solution,
        each_frame_once=False,
        causes=lambda n_stack: {
            1 / 2: "a transition has two observations, before and after the step",
            1 / n_stack: "an observation is a stack of n_stack frames, not one frame",
            1 / (2 * n_stack): "these are the bytes of each_frame_once=True: here both stacks are"
            " stored",
            (n_stack + 1) / (2 * n_stack): "both stacks are stored in full, although they share"
            " frames",
        },
    )


def frames_are_stored_once(solution: Solution) -> None:
    """With each frame stored once: one new frame for each transition."""
    _check_bytes(
        solution,
        each_frame_once=True,
        causes=lambda n_stack: {
            2.0 * n_stack: "each_frame_once is not used: both stacks are counted",
            float(n_stack): "a whole stack is counted for each transition, of which only the newest"
            " frame is new",
            2.0: "two frames are counted for each transition; but the newest frame of the next"
            " observation is also that of the following transition",
            2 * n_stack / 8: "an eighth is right for stacks of 4 only",
            float(n_stack + 1): "of the n_stack + 1 frames of a transition only one is new",
        },
    )


@dataclass(frozen=True)
class _Steps:
    """Consecutive steps of one environment, and how their targets are made."""

    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    next_values: NDArray[np.float64]
    gamma: float
    n_steps: int

    @property
    def others(self) -> NDArray[np.bool_]:
        """Which steps have not terminated."""
        return ~self.terminated

    def arguments(self) -> tuple[Any, ...]:
        """Return new arrays for the student's function."""
        arrays = (self.rewards, self.terminated, self.truncated, self.next_values)
        return (*(array.copy() for array in arrays), self.gamma, self.n_steps)


def _steps(
    n: int,
    *,
    n_steps: int,
    gamma: float = 0.9,
    terminated: tuple[int, ...] = (),
    truncated: tuple[int, ...] = (),
) -> _Steps:
    """Return steps with random rewards and values; the flags are True at these indices."""
    rng = np.random.default_rng(n)
    numbers = np.arange(n)
    rewards, values = rng.uniform(-1, 1, n).round(2), rng.uniform(2, 9, n).round(2)
    ends, cuts = np.isin(numbers, terminated), np.isin(numbers, truncated)
    return _Steps(rewards, ends, cuts, values, gamma, n_steps)


@dataclass(frozen=True)
class _Rule:
    """How a target is made; the default is right, the others are mistakes with their cause.

    :param stop: flags after which no reward is summed.
    :param cut: flags after which no value is added.
    :param window: rewards more than ``n_steps``.
    :param power: exponent of the discount of the value: of (rewards summed, n_steps).
    :param reward_power: exponent of the discount of reward i of the sum.
    :param value: which step's ``next_values``: of (first step, last step).
    :param newest_cut: no value for the last step of all.
    :param looks_ahead: a flag of ``cut`` counts in all ``n_steps``, not only in those summed.
    :param last_reward: whether the reward of a step with a flag of ``stop`` is summed.
    """

    cause: str = ""
    stop: tuple[str, ...] = ("terminated", "truncated")
    cut: tuple[str, ...] = ("terminated",)
    window: int = 0
    power: Callable[[int, int], int] = lambda k, n: k
    reward_power: Callable[[int], int] = lambda i: i
    value: Callable[[int, int], int] = lambda first, last: last
    newest_cut: bool = False
    looks_ahead: bool = False
    last_reward: bool = True

    def targets(self, steps: _Steps) -> NDArray[np.float64]:
        """Return the target of each step."""
        return np.array([self._target(steps, first) for first in range(len(steps.rewards))])

    def _target(self, steps: _Steps, first: int) -> float:
        end = len(steps.rewards)
        target, last = 0.0, first
        for last in range(first, min(first + max(1, steps.n_steps + self.window), end)):
            is_over = any(getattr(steps, flag)[last] for flag in self.stop)
            if self.last_reward or not is_over:
                target += steps.gamma ** self.reward_power(last - first) * steps.rewards[last]
            if is_over:
                break
        seen = slice(first, first + steps.n_steps) if self.looks_ahead else slice(last, last + 1)
        is_cut = any(getattr(steps, flag)[seen].any() for flag in self.cut)
        if is_cut or (self.newest_cut and last == end - 1):
            return target
        discount = steps.gamma ** self.power(last - first + 1, steps.n_steps)
        return float(target + discount * steps.next_values[min(self.value(first, last), end - 1)])


_PAST_THE_END = "the sum continues after the end of the episode: the next reward is of another one"
_RIGHT = _Rule()
_MISTAKES = (
    _Rule("a value is added after a terminated step: nothing follows the end", cut=()),
    _Rule(
        "a terminated step of the next episode was looked at: only that of the last step summed"
        " counts",
        looks_ahead=True,
    ),
    _Rule(
        "truncated is treated as terminated: a time limit does not end the game, the value of what"
        " follows is added",
        cut=("terminated", "truncated"),
    ),
    _Rule(_PAST_THE_END, stop=()),
    _Rule(_PAST_THE_END, stop=("terminated",)),
    _Rule(_PAST_THE_END, stop=("truncated",)),
    _Rule(
        "the value is discounted by gamma**n_steps although fewer rewards were summed: gamma**k",
        power=lambda k, n: n,
    ),
    _Rule("the value is discounted once, by gamma: gamma**k after k rewards", power=lambda k, n: 1),
    _Rule("the value is not discounted: gamma**k after k rewards", power=lambda k, n: 0),
    _Rule("the value is discounted once too little: gamma**k", power=lambda k, n: k - 1),
    _Rule("the value is discounted once too often: gamma**k", power=lambda k, n: k + 1),
    _Rule("the rewards are not discounted: gamma**i for i = 0, 1, ...", reward_power=lambda i: 0),
    _Rule(
        "the first reward is discounted: it counts in full (gamma**0)", reward_power=lambda i: i + 1
    ),
    _Rule(
        "all later rewards are discounted by gamma alone: gamma**i for reward i",
        reward_power=lambda i: min(i, 1),
    ),
    _Rule("n_steps + 1 rewards are summed", window=1),
    _Rule("n_steps - 1 rewards are summed", window=-1),
    _Rule("only one reward is summed, whatever n_steps is", window=-1000),
    _Rule("rewards are summed to the end of the episode, whatever n_steps is", window=1000),
    _Rule(
        "the value is that after the first step, not that after the last one summed",
        value=lambda first, last: first,
    ),
    _Rule(
        "the value is taken one step too late: next_values[i] already is that after step i",
        value=lambda first, last: last + 1,
    ),
    _Rule(
        "the value is taken one step too early: next_values[i] is that after step i",
        value=lambda first, last: last - 1,
    ),
    _Rule(
        "the last step of the arrays is treated as terminated: it is only the newest one",
        newest_cut=True,
    ),
    _Rule(
        "the reward of the last step of an episode is missing: add it, then stop", last_reward=False
    ),
    _Rule(
        "next_values are not used: the discounted value of what follows is added to the rewards",
        cut=("terminated", "others"),
    ),
)


def _targets_of(solution: Solution, steps: _Steps) -> NDArray[np.float64]:
    """Call ``n_step_targets``; return its targets, one for each step."""
    targets = solution.n_step_targets(*steps.arguments())
    if targets is None:
        raise WrongError("n_step_targets returns None: is its return missing?")
    try:
        seen = np.array([float(np.asarray(target).reshape(())) for target in targets])
    except (TypeError, ValueError):
        raise WrongError(
            f"n_step_targets returns one number for each step, got {type(targets).__name__}:"
            f" {str(targets)[:80]}"
        ) from None
    n = len(steps.rewards)
    if len(seen) == max(0, n - steps.n_steps + 1) != n:
        raise WrongError(
            f"{n} steps, {len(seen)} targets: the newest steps have a target, too, with the rewards"
            " that there are"
        )
    if len(seen) != n:
        raise WrongError(f"n_step_targets returns one target for each step: {len(seen)} for {n}")
    return seen


def _compare(solution: Solution, steps: _Steps, *, n_compared: int | None = None) -> None:
    """Compare the targets with the right ones.

    :param n_compared: how many of them; default: all.
    """
    seen, right = (
        targets[:n_compared] for targets in (_targets_of(solution, steps), _RIGHT.targets(steps))
    )
    differs = ~np.isclose(seen, right, rtol=1e-4, atol=1e-4)
    if not differs.any():
        return
    step = int(np.argmax(differs))
    window = slice(step, step + steps.n_steps)
    flags = ""
    for name in ("terminated", "truncated"):
        if (ended := np.flatnonzero(getattr(steps, name)[window])).size:
            flags += f", {name} after step {step + ended[0]}"
    mistakes = [
        *((rule.cause, rule.targets(steps)) for rule in _MISTAKES),
        ("gamma is an argument, not always 0.99", _RIGHT.targets(replace(steps, gamma=0.99))),
        *(
            (f"n_steps is an argument, not always {n}", _RIGHT.targets(replace(steps, n_steps=n)))
            for n in (2, 3, 5)
        ),
    ]
    causes = (
        cause
        for cause, targets in mistakes
        if np.allclose(targets[:n_compared][differs], seen[differs], rtol=1e-4)
    )
    cause = next(causes, "")
    if not cause and differs[1:].all() and not differs[0]:
        cause = "only the first one is right: do the sum and the discount start over for each step?"
    raise WrongError(
        f"n_steps={steps.n_steps}, gamma={steps.gamma:g}: the target of step {step} of"
        f" {len(steps.rewards)} is {seen[step]:.4g}, {right[step]:.4g} expected (rewards"
        f" {steps.rewards[window].tolist()}, next_values {steps.next_values[window].tolist()}"
        f"{flags}){': ' if cause else ''}{cause}"
    )


def one_step_is_the_plain_target(solution: Solution) -> None:
    """With n_steps=1 the target is the reward plus gamma times the value of what follows."""
    _compare(solution, _steps(6, n_steps=1), n_compared=5)


def rewards_are_summed(solution: Solution) -> None:
    """Within an episode n discounted rewards are summed, then the value follows, by gamma**n."""
    for n_steps, gamma in ((3, 0.9), (4, 0.5)):
        steps = _steps(9, n_steps=n_steps, gamma=gamma)
        _compare(solution, steps, n_compared=9 - n_steps + 1)


def terminal_step_ends_the_sum(solution: Solution) -> None:
    """After a terminated step comes neither a reward nor a value."""
    steps = _steps(10, n_steps=3, terminated=(4,))
    _compare(solution, steps, n_compared=8)


def time_limit_ends_the_sum_only(solution: Solution) -> None:
    """After a truncated step comes no reward, but the value, discounted by gamma**k."""
    steps = _steps(10, n_steps=3, truncated=(4,))
    _compare(solution, steps, n_compared=8)
    both = _steps(10, n_steps=3, terminated=(4,), truncated=(4,))
    try:
        _compare(solution, both, n_compared=8)
    except WrongError as wrong:
        message = f"if terminated and truncated are both True, terminated counts: {wrong}"
        raise WrongError(message) from None


def newest_steps_have_fewer_rewards(solution: Solution) -> None:
    """The newest steps sum the rewards that there are."""
    _compare(solution, _steps(8, n_steps=3))


def other_sequences_fit(solution: Solution) -> None:
    """Other lengths, ends, n_steps and gammas; more steps asked for than there are."""
    for steps in (
        _steps(12, n_steps=5, gamma=0.7, terminated=(0, 5), truncated=(2, 11)),
        _steps(7, n_steps=2, gamma=0.3, terminated=(1, 2, 6)),
        _steps(3, n_steps=10, gamma=0.99),
        _steps(4, n_steps=2, gamma=0.0, truncated=(0,)),
        _steps(1, n_steps=1, gamma=1.0, terminated=(0,)),
    ):
        _compare(solution, steps)


def arrays_are_left_alone(solution: Solution) -> None:
    """The arrays are not changed, and a second call gives the same targets."""
    steps = _steps(9, n_steps=3, terminated=(3,), truncated=(6,))
    arguments = steps.arguments()
    names = ("rewards", "terminated", "truncated", "next_values")
    solution.n_step_targets(*arguments)
    for name, seen in zip(names, arguments, strict=False):
        if not np.array_equal(seen, getattr(steps, name)):
            raise WrongError(f"n_step_targets changes {name} in place: work on a copy")
    first = _targets_of(solution, steps)
    again = _targets_of(solution, replace(steps, rewards=steps.rewards + 1.0))
    expected = _RIGHT.targets(replace(steps, rewards=steps.rewards + 1.0))
    if not np.allclose(again, expected, rtol=1e-4, atol=1e-4):
        raise WrongError(
            f"a second call with other rewards returns {again[:3].round(3).tolist()}...,"
            f" {expected[:3].round(3).tolist()}... expected (the first call"
            f" {first[:3].round(3).tolist()}...): is something kept from the call before?"
        )


REPLAY_TARGETS = Exercise(
    functions=("buffer_bytes", "n_step_targets"),
    properties=(
        stacks_are_stored_twice,
        frames_are_stored_once,
        one_step_is_the_plain_target,
        rewards_are_summed,
        terminal_step_ends_the_sum,
        time_limit_ends_the_sum_only,
        newest_steps_have_fewer_rewards,
        other_sequences_fit,
        arrays_are_left_alone,
    ),
)
