"""Tabular Q-learning on Taxi: steps per second, and seconds until the policy is optimal.

Run:  python benchmarks/q_learning.py [--quick]

Speed: our QLearning, SB3's and bare environment loops and a tutorial's loop on Taxi-v4, in
alternating rounds of one process; the table shows medians. "Recorded" loops repeat the actions of
our training, so that they reset as often; the others sample random actions. Time to optimal: from
creating environment and Q-table (Python and torch are loaded) until the exact mean return of the
greedy policy over all 300 initial states is at least 7.92; evaluations, every 50 episodes, are not
counted. Ours uses hyperparams/q_learning.yml, the tutorial's loop the settings of notebook B (see
there) for up to 20,000 episodes, ten times its own number; if it is not optimal by then, all its
time is counted, which underestimates it. The last line is JSON: ``vs_...`` is our speed divided by
the other, above 1: ours is faster; seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import QLearning
from sb3_atari_course.course.toy_text import evaluate_exactly
from sb3_atari_course.hyperparams import load_hyperparams

TAXI = "Taxi-v4"
#: Mean return over all initial states from which a policy counts as optimal (maximum 7.930).
OPTIMAL = 7.92
#: Episodes between two evaluations, and maximum number of episodes.
CHECK_EVERY, MAX_EPISODES = 50, 20_000

BARE = "bare env.step, random actions"
BARE_RECORDED = "bare env.step, recorded actions"
SB3 = "SB3 DummyVecEnv, 1 env, random actions, no learning"
SB3_RECORDED = "SB3 DummyVecEnv, 1 env, recorded actions, no learning"
OURS = "ours, 1 env"
SB3_SIXTEEN = "SB3 DummyVecEnv, 16 envs, random actions, no learning"
OURS_SIXTEEN = "ours, 16 envs"
OURS_YML = "ours, as hyperparams/q_learning.yml (8 envs)"
TUTORIAL = "tutorial's loop, no render"
TUTORIAL_RENDER = "tutorial's loop, text render at each step"


class TableModel:
    """Greedy policy of a Q-table, with the interface of a model."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        self.table = table

    def predict(
        self, observation: NDArray[Any], *, deterministic: bool = False
    ) -> tuple[NDArray[Any], None]:
        """Return the greedy action of each observation."""
        return self.table[observation].argmax(axis=1), None


def exact_return(model: Any) -> float:
    return evaluate_exactly(model, TAXI).mean_return


class Stopwatch:
    """Stopwatch that can be paused."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.resume()

    def pause(self) -> None:
        """Stop counting."""
        self.seconds += time.perf_counter() - self._since

    def resume(self) -> None:
        """Start counting again."""
        self._since = time.perf_counter()


@dataclass
class Learned:
    """Time and episodes until the greedy policy was optimal, or until the end."""

    seconds: float = 0.0
    n_episodes: int = 0
    #: Exact mean return over all initial states at the last evaluation.
    mean_return: float = -math.inf

    @property
    def optimal(self) -> bool:
        """Whether the policy was optimal at the last evaluation."""
        return self.mean_return >= OPTIMAL


def tutorial_loop(
    n_episodes: int,
    seed: int,
    *,
    render: bool,
    after_episode: Callable[[int, NDArray[np.float64]], bool] = lambda episode, table: False,
) -> int:
    """Learn Taxi as a notebook does, with the settings of notebook B; return the number of steps.

    It indexes a NumPy Q-table, explores with ``random`` and the action space's ``sample``, and
    keeps the steps of an episode in a list; with ``render`` also a text frame of each step.
    """
    env = gym.make(TAXI, render_mode="ansi" if render else None)
    env.action_space.seed(seed)
    generator = random.Random(seed)
    table = np.zeros((500, 6))
    alpha, gamma = 0.5, 0.99
    epsilon, n_steps = 1.0, 0
    for episode in range(n_episodes):
        state, _ = env.reset(seed=seed if episode == 0 else None)
        steps: list[Any] = []
        total, done = 0.0, False
        while not done:
            if generator.uniform(0, 1) > epsilon:
                action = np.argmax(table[state])
            else:
                action = env.action_space.sample()
            new_state, reward, terminated, truncated, _ = env.step(action)
            table[state, action] += alpha * (
                float(reward) + gamma * np.max(table[new_state]) - table[state, action]
            )
            total += float(reward)
            frame = env.render() if render else None
            steps.append((frame, new_state, action, reward, total))
            state = new_state
            n_steps += 1
            done = terminated or truncated
        epsilon = 0.001 + (1.0 - 0.001) * math.exp(-0.01 * episode)
        if after_episode(episode + 1, table):
            break
    env.close()
    return n_steps


def tutorial_to_optimal(seed: int, render: bool) -> Learned:
    watch, found = Stopwatch(), Learned()

    def after_episode(episode: int, table: NDArray[np.float64]) -> bool:
        found.n_episodes = episode
        if episode % CHECK_EVERY == 0:
            watch.pause()
            found.mean_return = exact_return(TableModel(table))
            watch.resume()
        return found.optimal

    tutorial_loop(MAX_EPISODES, seed, render=render, after_episode=after_episode)
    watch.pause()
    found.seconds = watch.seconds
    return found


class StopWhenOptimal(BaseCallback):
    """Callback that stops training once the greedy policy is optimal; evaluations are not timed."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self.watch, self.found = watch, Learned()

    def _on_step(self) -> bool:
        episode = self.model._episode_num
        if episode >= self.found.n_episodes + CHECK_EVERY:
            self.found.n_episodes = episode
            self.watch.pause()
            self.found.mean_return = exact_return(self.model)
            self.watch.resume()
        return not self.found.optimal


def our_yml() -> tuple[int, int, dict[str, Any]]:
    """Return number of environments, timesteps, and the keyword arguments of QLearning."""
    hyperparams = dict(load_hyperparams("q_learning")[TAXI])
    return hyperparams.pop("n_envs"), hyperparams.pop("n_timesteps"), hyperparams


def ours_to_optimal(seed: int, n_envs: int) -> Learned:
    watch = Stopwatch()
    callback = StopWhenOptimal(watch)
    _, n_steps, hyperparams = our_yml()
    model = QLearning(env=make_vec_env(TAXI, n_envs, seed=seed), seed=seed, **hyperparams)
    model.learn(n_steps, callback=callback)
    watch.pause()
    callback.found.seconds = watch.seconds
    return callback.found


class KeepActions(BaseCallback):
    """Callback that records the actions of one environment."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[int] = []

    def _on_step(self) -> bool:
        self.actions.append(int(self.locals["actions"][0]))
        return True


#: Runs a given number of steps in environments created before.
Play = Callable[[], object]


def bare_loop(n_steps: int, actions: list[int] | None) -> Play:
    env = gym.make(TAXI)
    env.reset(seed=0)

    def play() -> None:
        for step in range(n_steps):
            action = env.action_space.sample() if actions is None else actions[step]
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return play


def sb3_loop(n_steps: int, n_envs: int, actions: list[int] | None) -> Play:
    envs = make_vec_env(TAXI, n_envs, seed=0)
    envs.reset()

    def play() -> None:
        for step in range(n_steps // n_envs):
            if actions is None:
                envs.step(np.array([envs.action_space.sample() for _ in range(n_envs)]))
            else:
                envs.step(np.array([actions[step]]))

    return play


def our_loop(n_steps: int, n_envs: int, callback: BaseCallback | None = None) -> Play:
    envs = make_vec_env(TAXI, n_envs, seed=0)
    model = QLearning(env=envs, seed=0, **our_yml()[2])
    return lambda: model.learn(n_steps, callback=callback)


def recorded_actions(n_steps: int) -> list[int]:
    """Return the actions of a training run of QLearning with one environment."""
    callback = KeepActions()
    our_loop(n_steps, 1, callback)()
    return callback.actions


def sides(n_steps: int) -> dict[str, Callable[[], Play]]:
    """Return a factory of each side, by its name in the table, except for the tutorial's loop."""
    actions = recorded_actions(n_steps)
    return {
        BARE: lambda: bare_loop(n_steps, None),
        BARE_RECORDED: lambda: bare_loop(n_steps, actions),
        SB3: lambda: sb3_loop(n_steps, 1, None),
        SB3_RECORDED: lambda: sb3_loop(n_steps, 1, actions),
        OURS: lambda: our_loop(n_steps, 1),
        SB3_SIXTEEN: lambda: sb3_loop(n_steps, 16, None),
        OURS_SIXTEEN: lambda: our_loop(n_steps, 16),
    }


def measure_speed(n_rounds: int, n_steps: int) -> dict[str, float]:
    """Return the median steps per second of each side over alternating rounds."""
    makers = sides(n_steps)
    n_episodes = n_steps // 80  # of the tutorial's loop: about as many steps
    rates: dict[str, list[float]] = {name: [] for name in [*makers, TUTORIAL, TUTORIAL_RENDER]}
    for i in range(n_rounds):
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr, flush=True)
        for name, make in makers.items():
            play = make()
            start = time.perf_counter()
            play()
            rates[name].append(n_steps / (time.perf_counter() - start))
        for name, render in ((TUTORIAL, False), (TUTORIAL_RENDER, True)):
            start = time.perf_counter()
            n_played = tutorial_loop(n_episodes, 0, render=render)
            rates[name].append(n_played / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def measure_learning(n_seeds: int) -> dict[str, list[Learned]]:
    """Return the time to an optimal policy of each side for each seed."""
    found: dict[str, list[Learned]] = {OURS_YML: [], OURS: [], TUTORIAL: [], TUTORIAL_RENDER: []}
    n_envs = our_yml()[0]
    for seed in range(n_seeds):
        print(f"seed {seed + 1} of {n_seeds}", file=sys.stderr, flush=True)
        found[OURS_YML].append(ours_to_optimal(seed, n_envs))
        found[OURS].append(ours_to_optimal(seed, 1))
        found[TUTORIAL].append(tutorial_to_optimal(seed, render=False))
        found[TUTORIAL_RENDER].append(tutorial_to_optimal(seed, render=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    quick = parser.parse_args().quick
    th.set_num_threads(1)
    n_rounds, n_steps, n_seeds = (7, 16_000, 1) if quick else (15, 40_000, 5)

    rates = measure_speed(n_rounds, n_steps)
    print(f"{TAXI}, medians of {n_rounds} alternating rounds of {n_steps} steps")
    print(f"{'':56s} steps/s")
    for name, rate in rates.items():
        print(f"{name:56s} {rate:7.0f}")

    learning = measure_learning(n_seeds)
    print(f"\ntime until the greedy policy is optimal, {n_seeds} seeds")
    print(f"{'':56s} seconds  episodes  mean return  optimal")
    medians = {}
    for name, found in learning.items():
        medians[name] = statistics.median(one.seconds for one in found)
        n_episodes = statistics.median(one.n_episodes for one in found)
        reached = f"{sum(one.optimal for one in found)} of {len(found)}"
        mean_return = statistics.median(one.mean_return for one in found)
        print(f"{name:56s} {medians[name]:7.2f} {n_episodes:9.0f} {mean_return:12.3f}  {reached}")

    result = {
        "vs_sb3_loop_one_env": rates[OURS] / rates[SB3],
        "vs_sb3_loop_one_env_recorded": rates[OURS] / rates[SB3_RECORDED],
        "vs_bare_loop_one_env": rates[OURS] / rates[BARE],
        "vs_sb3_loop_sixteen_envs": rates[OURS_SIXTEEN] / rates[SB3_SIXTEEN],
        "seconds_to_optimal": medians[OURS_YML],
        "tutorial_seconds": medians[TUTORIAL_RENDER],
        "tutorial_seconds_without_render": medians[TUTORIAL],
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
