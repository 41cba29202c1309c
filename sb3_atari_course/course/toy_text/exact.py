"""What a policy is worth, computed from the rules of the environment instead of played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.validation import finite_number, integer_at_least
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.evaluation.player import Model, check_spaces


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
    world = _world_with_rules(env)
    if max_steps is None:
        max_steps = (env.spec.max_episode_steps if env.spec else None) or MAX_FRAMES
    integer_at_least(1, "max_steps", max_steps)
    if penalty is not None:
        finite_number("penalty", penalty)

    check_spaces(model, world.observation_space, world.action_space)
    n_states, first_state = len(world.P), int(world.observation_space.start)
    actions = best_actions(model, first_state + np.arange(n_states))
    policy = actions - int(world.action_space.start)
    returns, lengths, penalties = _totals(world.P, policy.tolist(), max_steps, penalty)
    starts = np.flatnonzero(world.initial_state_distrib)
    return ExactReport(
        env_id=_name(env),
        starts=first_state + starts,
        probabilities=np.asarray(world.initial_state_distrib, np.float64)[starts],
        returns=returns[starts],
        lengths=lengths[starts],
        penalties=None if penalty is None else penalties[starts],
        max_steps=max_steps,
    )


def best_actions(model: Model, states: NDArray[Any]) -> NDArray[Any]:
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


def _name(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def _world_with_rules(env: gym.Env[Any, Any]) -> Any:
    """Return what publishes its rules and plays by them alone."""
    world: Any = env.unwrapped
    if not (hasattr(world, "P") and hasattr(world, "initial_state_distrib")):
        raise ValueError(
            f"{_name(env)} publishes no transition table (P, initial_state_distrib) as Taxi,"
            " FrozenLake and CliffWalking do: play games with evaluate_games"
        )
    if getattr(world, "fickle_passenger", False):
        raise ValueError(
            f"{_name(env)} with fickle_passenger=True plays by more than its transition table says:"
            " play games with evaluate_games"
        )
    return world


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
    # what one outcome adds to each of the three
    own = [probability * reward, probability, probability * (reward == penalty)]
    totals, still_playing = np.zeros((3, len(policy))), np.ones(len(policy))
    for _ in range(max_steps):
        for total, added in zip(totals, own, strict=True):
            total[:] = np.bincount(state, added + goes_on * total[next_state])
        still_playing[:] = np.bincount(state, goes_on * still_playing[next_state])
        if not still_playing.any():
            break
    return totals
