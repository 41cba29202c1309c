"""An episode of a text world: played, kept, shown again step by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TextIO

import gymnasium as gym

from sb3_atari_course._common.validation import boolean, integer_at_least
from sb3_atari_course.evaluation.player import Model, Player, fit_to_model

_CLEAR_TERMINAL = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class EpisodeStep:
    """What there was to see of one step.

    :param frame: the world after it, as text.
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
        action = int(player.act(observation))
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
    file: TextIO | None = None,
) -> None:
    """Show an episode step by step, each in the place of the one before; state and frame after it.

    In a notebook the output of the cell is replaced, on a terminal the screen; a file gets all
    steps one after the other, without delay.

    :param steps: of :func:`play_episode`, or kept by a loop of your own.
    :param episode: its number, shown if given.
    :param max_steps: show no more than these, and how many there are more.
    :param delay: seconds for each step.
    :param file: default: standard output.
    """
    out = sys.stdout if file is None else file
    clear = _clearing(out)
    steps, max_steps = list(steps), integer_at_least(0, "max_steps", max_steps)
    for step in steps[:max_steps]:
        if clear is not None:
            clear()
        print(step.text(episode), end="\n" if clear else "\n\n", file=out, flush=True)
        if clear is not None:
            time.sleep(delay)
    if len(steps) > max_steps:
        print(f"... steps not shown: {len(steps) - max_steps}", file=out)


def _clearing(out: TextIO) -> Any:
    """Return what clears the display, None for a file."""
    if out is sys.stdout and "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import clear_output

        if get_ipython() is not None:
            return lambda: clear_output(wait=True)
    if out.isatty():
        return lambda: out.write(_CLEAR_TERMINAL)
    return None
