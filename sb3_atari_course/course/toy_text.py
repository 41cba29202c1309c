"""Toy-text environments, whose rules are published: exact evaluation, policies, episodes as text.

- :func:`evaluate_exactly`: what a policy is worth, computed instead of played.
- :func:`draw_policy`: a policy, drawn as arrows.
- :func:`play_episode`, :func:`replay_episode`: an episode, shown as text.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_atari_course._common.validation import boolean, finite_number, integer_at_least
from sb3_atari_course.course.lesson import in_notebook
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.evaluation.player import Model, Player, check_spaces, fit_to_model

#: One sign for each action; Taxi's last two are pick up and drop off.
_SIGNS = {"FrozenLakeEnv": "←↓→↑", "CliffWalkingEnv": "↑→↓←", "TaxiEnv": "↓↑→←PD"}

_CLEAR_TERMINAL = "\x1b[H\x1b[2J"


@dataclass(frozen=True, eq=False)
class ExactReport:
    """The expected result of one episode, from each start and over all of them.

    :param env_id: the environment.
    :param starts: state numbers in which an episode may begin, (n_starts,) int64.
    :param probabilities: of these starts, (n_starts,) float64, sum 1.
    :param returns: expected undiscounted return from each start, (n_starts,).
    :param lengths: expected number of steps from each start, (n_starts,).
    :param penalties: expected number of penalties from each start, (n_starts,); None if not asked.
    :param max_steps: cap of an episode, in steps.
    """

    env_id: str
    starts: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    returns: NDArray[np.float64]
    lengths: NDArray[np.float64]
    penalties: NDArray[np.float64] | None
    max_steps: int

    @property
    def mean_return(self) -> float:
        """Expected return of an episode; of FrozenLake: the probability of reaching the goal."""
        return float(self.probabilities @ self.returns)

    @property
    def mean_length(self) -> float:
        """Expected number of steps of an episode."""
        return float(self.probabilities @ self.lengths)

    @property
    def mean_penalties(self) -> float | None:
        """Expected number of penalties of an episode, None if they were not asked for."""
        return None if self.penalties is None else float(self.probabilities @ self.penalties)

    def __str__(self) -> str:
        penalties = "" if self.penalties is None else f", {self.mean_penalties:.3f} penalties"
        return (
            f"{self.env_id}: {self.mean_return:.3f} a game, {self.mean_length:.2f} steps{penalties}"
            f" (exact, over {len(self.starts)} starts, at most {self.max_steps} steps)"
        )


def evaluate_exactly(
    model: Model,
    env: gym.Env[Any, Any] | str,
    *,
    max_steps: int | None = None,
    penalty: float | None = None,
) -> ExactReport:
    """Compute what the deterministic policy of a model is worth.

    Taxi, FrozenLake and CliffWalking publish their rules as a table: ``P[state][action]`` is a list
    of (probability, next state, reward, terminated). The expected return of k steps follows from
    that of k - 1 (policy evaluation; Sutton and Barto 2018, section 4.1), here with the number of
    steps of the environment's own time limit, so that it is the mean of infinitely many games.

    :param model: an SB3 model, or anything with its ``predict``, for the states of that table.
    :param env: the environment or its id; wrappers are not looked at.
    :param max_steps: cap of an episode; default: the time limit of the id, else 108,000 steps.
    :param penalty: count the steps that pay exactly this, -10 for an illegal action in Taxi.
    :raises TypeError: for a number that is none.
    :raises ValueError: if the environment publishes no rules, or plays by others; if its spaces are
        not those of the model; if the model's policy is recurrent.
    """
    if isinstance(env, str):
        env = gym.make(env)
    rules = _env_with_rules(env)
    if max_steps is None:
        max_steps = (env.spec.max_episode_steps if env.spec else None) or MAX_FRAMES
    integer_at_least(1, "max_steps", max_steps)
    if penalty is not None:
        finite_number("penalty", penalty)

    check_spaces(model, rules.observation_space, rules.action_space)
    first_state = int(rules.observation_space.start)
    actions = _best_actions(model, first_state + np.arange(len(rules.P)))
    policy = actions - int(rules.action_space.start)
    returns, lengths, penalties = _totals(rules.P, policy.tolist(), max_steps, penalty)
    starts = np.flatnonzero(rules.initial_state_distrib)
    return ExactReport(
        env_id=_name(env),
        starts=first_state + starts,
        probabilities=np.asarray(rules.initial_state_distrib, np.float64)[starts],
        returns=returns[starts],
        lengths=lengths[starts],
        penalties=None if penalty is None else penalties[starts],
        max_steps=max_steps,
    )


def _best_actions(model: Model, states: NDArray[Any]) -> NDArray[Any]:
    """Return the model's best action in each state, (n_states,) integers.

    :raises ValueError: if its policy is recurrent: a state alone does not decide an action.
    """
    actions, carried = model.predict(states, deterministic=True)
    if carried is not None:
        raise ValueError(
            f"the policy of {type(model).__name__} is recurrent, so a state alone does not decide"
            " its action: play games with evaluate_games"
        )
    return np.asarray(actions)


def _env_with_rules(env: gym.Env[Any, Any]) -> Any:
    """Return the environment inside, which publishes its rules and plays by them alone."""
    inner: Any = env.unwrapped
    if not (hasattr(inner, "P") and hasattr(inner, "initial_state_distrib")):
        raise ValueError(
            f"{_name(env)} publishes no transition table (P, initial_state_distrib) as Taxi,"
            " FrozenLake and CliffWalking do: play games with evaluate_games"
        )
    if getattr(inner, "fickle_passenger", False):
        raise ValueError(
            f"{_name(env)} with fickle_passenger=True plays by more than its transition table says:"
            " play games with evaluate_games"
        )
    return inner


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def _totals(
    rules: dict[int, Any], policy: list[int], max_steps: int, penalty: float | None
) -> NDArray[np.float64]:
    """Return expected return, length and number of penalties from each state, (3, n_states)."""
    outcomes = [
        (state, *outcome) for state, action in enumerate(policy) for outcome in rules[state][action]
    ]
    state, probability, next_state, reward, terminated = (
        np.array(column) for column in zip(*outcomes, strict=True)
    )
    goes_on = probability * ~terminated
    # what one outcome adds to each of the three, and to the probability of still playing
    own = [probability * reward, probability, probability * (reward == penalty), 0 * probability]
    totals = np.zeros((4, len(policy)))
    totals[3] = 1
    for _ in range(max_steps):
        for total, added in zip(totals, own, strict=True):
            total[:] = np.bincount(state, added + goes_on * total[next_state])
        if not totals[3].any():
            break
    return totals[:3]


def draw_policy(
    model: Model,
    env: gym.Env[Any, Any] | str,
    *,
    states: ArrayLike | None = None,
    signs: str | None = None,
) -> str:
    """Draw the best action of each cell of a grid, one line for each row.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: FrozenLake, CliffWalking or Taxi (or its id), or another grid.
    :param states: the observation in each cell, (rows, columns); known for FrozenLake and
        CliffWalking. For Taxi they depend on passenger and destination: its own ``encode(row,
        column, passenger, destination)`` returns them.
    :param signs: one character for each action; known for the three.
    :return: the rows; ``·`` marks cells where the episode is over: holes, cliff, goal.
    :raises ValueError: if the states or signs of an environment are not known, if the spaces of the
        model are others than those of ``env`` (with its wrappers), if its policy is recurrent.
    """
    env = gym.make(env) if isinstance(env, str) else env
    check_spaces(model, env.observation_space, env.action_space)
    inner: Any = env.unwrapped
    name = type(inner).__name__
    signs = signs or _SIGNS.get(name)
    if signs is None:
        raise ValueError(f'the actions of {name} have no signs yet: pass some, e.g. signs="←↓→↑"')
    if len(signs) != inner.action_space.n:
        raise ValueError(f"{name} has {inner.action_space.n} actions, got the signs {signs!r}")
    over: Any = False
    if states is None:
        states, over = _known_grid(inner, name)
    states = np.asarray(states)
    actions = _best_actions(model, states.ravel()).reshape(states.shape)
    drawn = np.where(over, "·", np.array(list(signs))[actions - int(inner.action_space.start)])
    return "\n".join("".join(row) for row in drawn)


def _known_grid(env: Any, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the state of each cell, and whether the episode is over there."""
    if name == "FrozenLakeEnv":
        return np.arange(env.desc.size).reshape(env.desc.shape), np.isin(env.desc, [b"H", b"G"])
    if name == "CliffWalkingEnv":
        states = np.arange(env.nS).reshape(env.shape)
        return states, np.asarray(env._cliff) | (states == env.nS - 1)
    raise ValueError(
        f"the cells of {name} are not known: pass states, the observation in each cell (of Taxi:"
        " env.unwrapped.encode(row, column, passenger, destination))"
    )


@dataclass(frozen=True)
class EpisodeStep:
    """What there was to see of one step.

    :param frame: the environment after it, as text.
    :param step: its number in the episode, from 0.
    :param state: the observation after it, the one that the frame shows.
    :param action: what was done, which led there.
    :param reward: what it paid.
    :param total_reward: paid so far in the episode, this step included.
    """

    frame: str
    step: int
    state: Any
    action: int
    reward: float
    total_reward: float

    def text(self, episode: int | None = None) -> str:
        """Return the frame and the numbers below it."""
        numbers = {
            "Episode": episode,
            "Step": self.step,
            "State": self.state,
            "Action": self.action,
            "Reward": self.reward,
            "Total reward": self.total_reward,
        }
        lines = [f"{name}: {value}" for name, value in numbers.items() if value is not None]
        return "\n".join([self.frame.rstrip("\n"), *lines])


def play_episode(
    model: Model,
    env: gym.Env[Any, Any] | str,
    *,
    seed: int | None = None,
    deterministic: bool = True,
    max_steps: int = 1000,
) -> list[EpisodeStep]:
    """Play one episode and keep what there was to see.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: its id, or an environment made with ``render_mode="ansi"``.
    :param seed: of the reset.
    :param deterministic: False: with the model's own exploration.
    :param max_steps: play no more than these: a policy that walks against a wall never ends.
    :raises ValueError: if the environment does not render text, if its spaces are not those of the
        model.
    :raises TypeError: for a ``deterministic`` that is not a bool, a model without ``predict``.
    """
    player = Player(model, deterministic=boolean("deterministic", deterministic))
    if isinstance(env, str):
        env = gym.make(env, render_mode="ansi")
    if env.render_mode != "ansi":
        raise ValueError(
            f"a replay shows text, got render_mode={env.render_mode!r}: make the environment with"
            ' render_mode="ansi"'
        )
    env = fit_to_model(env, model)
    observation, _ = env.reset(seed=seed)
    steps: list[EpisodeStep] = []
    total, done = 0.0, False
    while not done and len(steps) < max_steps:
        action = int(player.act({0: observation})[0])
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        frame: Any = env.render()
        steps.append(EpisodeStep(frame, len(steps), observation, action, float(reward), total))
        done = terminated or truncated
    return steps


def replay_episode(
    steps: Iterable[EpisodeStep],
    *,
    episode: int | None = None,
    max_steps: int = 50,
    delay: float = 0.1,
) -> None:
    """Print an episode step by step, each in the place of the one before; state and frame after it.

    In a notebook the output of the cell is replaced, on a terminal the screen; a file gets all
    steps one after the other, without delay.

    :param steps: of :func:`play_episode`, or kept by a loop of your own.
    :param episode: its number, shown if given.
    :param max_steps: show no more than these, and how many there are more.
    :param delay: seconds for each step.
    """
    steps, max_steps = list(steps), integer_at_least(0, "max_steps", max_steps)
    clear = _find_clearing()
    for step in steps[:max_steps]:
        if clear is None:
            print(step.text(episode), end="\n\n")
        else:
            clear()
            print(step.text(episode), flush=True)
            time.sleep(delay)
    if len(steps) > max_steps:
        print(f"... steps not shown: {len(steps) - max_steps}")


def _find_clearing() -> Callable[[], object] | None:
    """Return what clears the display, None for a file."""
    if in_notebook():
        from IPython.display import clear_output

        return lambda: clear_output(wait=True)
    return (lambda: print(_CLEAR_TERMINAL, end="")) if sys.stdout.isatty() else None
