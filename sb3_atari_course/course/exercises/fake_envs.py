"""Small environments in which the judge lets a solution play: they record what it did."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.judging import WrongError

#: Steps of one episode, and episodes, that no exercise needs.
_MOST_STEPS = 5000


@dataclass(frozen=True)
class Step:
    """One step that an environment has seen.

    :param episode: number of the episode, from 0.
    :param state: state before it.
    :param action: what was done.
    :param reward: what it returned.
    :param next_state: state after it.
    :param terminated: the environment has ended the episode.
    :param truncated: its time limit has.
    """

    episode: int
    state: Any
    action: int
    reward: float
    next_state: Any
    terminated: bool
    truncated: bool


class RecordingEnv(gym.Env[Any, np.int64]):
    """Records every step, and names what no loop may do, such as a step after the end.

    :param n_actions: number of actions.
    :param time_limit: steps after which an episode is truncated, None for no limit.
    """

    render_mode = "ansi"

    def __init__(self, n_actions: int, time_limit: int | None = None) -> None:
        self.action_space = spaces.Discrete(n_actions, seed=0)
        self.n_actions, self.time_limit = n_actions, time_limit
        self.log: list[Step] = []
        #: Length of each episode so far, in steps; a reset begins one.
        self.lengths: list[int] = []
        #: Seed that each reset was given.
        self.reset_seeds: list[int | None] = []
        #: Likely cause of an action that does not exist, for the message.
        self.action_hint = (
            "environments of other sizes are tried, take the number of actions from"
            " env.action_space.n of the env that was passed"
        )
        self._playing = False
        self._state: Any = None

    @abstractmethod
    def first_state(self) -> Any:
        """Return the state in which an episode begins."""

    @abstractmethod
    def outcome(self, action: int) -> tuple[Any, float, bool]:
        """Return next state, reward, and whether that ends the episode."""

    def observe(self, state: Any) -> Any:
        """Return what the agent sees of a state."""
        return state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        if len(self.lengths) == _MOST_STEPS:
            raise WrongError(
                f"env.reset was called {_MOST_STEPS} times: the loop of the episodes has no end"
            )
        self.reset_seeds.append(seed)
        self.lengths.append(0)
        self._playing, self._state = True, self.first_state()
        return self.observe(self._state), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play a step.

        :raises WrongError: if there is no episode to play in, or no such action.
        """
        self._check_step(action)
        self.lengths[-1] += 1
        if self.lengths[-1] > _MOST_STEPS:
            raise WrongError(
                f"an episode has {_MOST_STEPS} steps: max_steps must end it, too (is what the"
                " loop counts appended at each step?)"
            )
        episode, before, action = len(self.lengths) - 1, self._state, int(action)
        self._state, reward, terminated = self.outcome(action)
        truncated = self.lengths[-1] == self.time_limit and not terminated
        self.log.append(Step(episode, before, action, reward, self._state, terminated, truncated))
        self._playing = not (terminated or truncated)
        return self.observe(self._state), reward, terminated, truncated, {}

    def _check_step(self, action: Any) -> None:
        if not self.lengths:
            raise WrongError("env.step was called before a reset, which begins an episode")
        if not self._playing:
            end = "terminated" if self.log[-1].terminated else "truncated"
            raise WrongError(
                f"env.step was called before a reset, after the end of an episode which was {end}:"
                " it is over when it is terminated or truncated, then comes a reset"
            )
        if self.action_space.contains(action):
            return
        if isinstance(action, (int, np.integer)):
            what = f"which is not in 0..{self.n_actions - 1}: {self.action_hint}"
        else:
            what = (
                f"a {type(action).__name__}: an action is an integer. argmax returns the place of"
                " the largest value, max the value itself; int(...) makes an integer of a number"
            )
        raise WrongError(f"env.step got {action!r}, {what}")

    def render(self) -> str:
        """Return a line of text."""
        return f"{self._state}\n"


class TableEnv(RecordingEnv):
    """An environment of numbered states whose rules are a table; it begins in state 0.

    :param rules: (state, action) -> (next state, reward, terminated); what is missing stays where
        it is, with reward 0.
    :param n_states: number of states.
    :param n_actions: number of actions.
    :param time_limit: see :class:`RecordingEnv`.
    :param one_hot: a state is seen as a vector (n_states,) float32, not as its number.
    """

    def __init__(
        self,
        rules: Mapping[tuple[int, int], tuple[int, float, bool]],
        *,
        n_states: int,
        n_actions: int,
        time_limit: int | None = None,
        one_hot: bool = False,
    ) -> None:
        super().__init__(n_actions, time_limit)
        numbers, vectors = spaces.Discrete(n_states), spaces.Box(0.0, 1.0, (n_states,))
        self.observation_space = vectors if one_hot else numbers
        self.rules, self.n_states, self.one_hot = rules, n_states, one_hot

    def first_state(self) -> int:
        """Return 0."""
        return 0

    def outcome(self, action: int) -> tuple[int, float, bool]:
        """Look it up."""
        return self.rules.get((self._state, action), (self._state, 0.0, False))

    def observe(self, state: int) -> Any:
        """Return the state's number, or a vector."""
        return np.eye(self.n_states, dtype=np.float32)[state] if self.one_hot else state


def check_epsilons(
    games: Sequence[Any],
    names: Sequence[str],
    expected: Sequence[float] | NDArray[Any],
    mistakes: Mapping[str, Sequence[float] | NDArray[Any]],
) -> None:
    """Compare the epsilon with which each game began with what is right, and with known mistakes.

    :param games: what the student's function says of each game; ``epsilon`` is looked at.
    :param names: how a message calls each game.
    :param expected: epsilon of each.
    :param mistakes: what was done -> the epsilons that come out.
    :raises WrongError: for the first game with another one.
    """
    try:
        played = np.array([float(game.epsilon) for game in games])
    except (AttributeError, TypeError, ValueError) as error:
        raise WrongError(f"an entry for each game is returned, but {error}") from None
    if len(played) != len(expected):
        raise WrongError(f"{len(expected)} games were asked for, got {len(played)} entries")
    is_right = np.isclose(played, expected, atol=1e-6)
    if is_right.all():
        return
    hints = (f": {what}" for what, e in mistakes.items() if np.allclose(played, e, atol=1e-6))
    first = int(np.argmin(is_right))
    raise WrongError(
        f"{names[first]} should be played with epsilon {expected[first]:.4f}, got"
        f" {played[first]:.4f}{next(hints, '')}"
    )


def check_random(actions: Sequence[int], n_actions: int, what: str) -> None:
    """Check that actions are random, each as likely as the others.

    :param actions: of hundreds of steps.
    :param n_actions: number of actions there are.
    :param what: which steps they are, for the message.
    :raises WrongError: if one was chosen much more or less often.
    """
    shares, right = np.bincount(actions, minlength=n_actions) / len(actions), 1 / n_actions
    five_sigma = 5 * np.sqrt(right * (1 - right) / len(actions))
    if np.any(np.abs(shares - right) > min(0.1, five_sigma)):
        hint = ""
        if shares.max() > 0.9:
            hint = ": is the comparison with epsilon the wrong way round?"
        elif shares.min() < right / 10:
            hint = (
                f": action {shares.argmin()} is not among them, draw from all actions, the best"
                " one too (rng.integers(n) is one of 0..n - 1)"
            )
        elif shares.max() > 2 * right:
            hint = ": is it rng.random() < epsilon that decides?"
        raise WrongError(
            f"the {len(actions)} steps that {what} chose the {n_actions} actions with the shares"
            f" {shares.round(2)}, random is {right:.2f} each{hint}"
        )
