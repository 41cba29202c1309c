"""One whole game on film: what a model saw, and its true score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course._common.validation import explain_arguments, integer_at_least, probability
from sb3_atari_course.evaluation import play_game
from sb3_atari_course.evaluation.player import Model, Player, fit_to_model
from sb3_atari_course.evaluation.protocol import ScoreKeeper

Frame = NDArray[np.uint8]
Draw = Callable[[Frame, Any, Any], Frame]

#: What ``gym.make`` and SB3 put directly around a game: part of it, no wrapper of the model.
_PART_OF_THE_GAME = (OrderEnforcing, PassiveEnvChecker, Monitor)


@dataclass(frozen=True)
class Film:
    """A game that was filmed.

    :param frames: (H, W, 3) uint8 each: the screen before each agent step, and the last one.
    :param score: true score of the game, whatever wrappers clip.
    :param n_steps: its length in agent steps.
    """

    frames: list[Frame]
    score: float
    n_steps: int


@explain_arguments
def film_game(
    model: Model,
    env: gym.Env[Any, Any],
    *,
    seed: int | Sequence[int] | None = None,
    epsilon: float = 0.0,
    max_steps: int = 5_000,
    draw: Draw | None = None,
) -> Film:
    """Play one whole game with a model, through all lives, and film it.

    It is played as :func:`.evaluate_games` plays; with ``seed=(s, i)`` and the same wrappers it is
    game i of ``evaluate_games(seed=s)``. All frames are kept: 0.1 MB a step for an Atari game.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env: a single environment as the model's, made with ``render_mode="rgb_array"``; it is
        left open, in the state in which the game ended. Frames are stacked if the model reads
        more of them.
    :param seed: decides the start and the random actions; None for another game each time.
    :param epsilon: probability of a random action, 0 to 1.
    :param max_steps: cap on the length, in agent steps.
    :param draw: called with the frame, the observation that belongs to it and the action chosen
        there (for the last frame, on which none is: the last one); returns the frame to keep.
    :raises ValueError: for another ``render_mode``, a number out of range, spaces that are not
        those of the model (``env`` is closed then), a wrapper that restarts the game at a life
        loss.
    :raises TypeError: for a ``max_steps`` that is not an integer, an ``env`` that is not a single
        environment, a model without ``predict``.
    """
    integer_at_least(1, "max_steps", max_steps)
    epsilon = probability("epsilon", epsilon)
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"env must be a single environment, got {env!r}: gym.make(..., render_mode='rgb_array')"
        )
    if env.render_mode != "rgb_array":
        raise ValueError(
            "filming needs an environment made with gym.make(..., render_mode='rgb_array'),"
            f" got render_mode={env.render_mode!r}"
        )
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    seeds = [seed] if isinstance(seed, int | np.integer) else [*seed]
    with _with_score_keeper(env) as (watched, referee):
        camera = _Camera(fit_to_model(watched, model), referee, max_steps, draw)
        tally = play_game(Player(model), camera, referee, seeds, epsilon)
        camera.shoot()
    return Film(frames=camera.frames, score=tally.score, n_steps=camera.n_steps)


class _Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Stands outside all wrappers and keeps the screen before each step.

    :param referee: told that the game is over when it is cut off outside of him.
    :param max_steps: agent steps after which it is cut off here.
    """

    def __init__(
        self, env: gym.Env[Any, Any], referee: ScoreKeeper, max_steps: int, draw: Draw | None
    ) -> None:
        super().__init__(env)
        self.referee, self.max_steps, self.draw = referee, max_steps, draw
        self.frames: list[Frame] = []
        self.n_steps = 0
        self._obs: Any = None
        self._action: Any = None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset: a new game, or the next life of it."""
        self._obs, info = self.env.reset(**kwargs)
        return self._obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Keep what the model sees, then step."""
        self._action = action
        self.shoot()
        self._obs, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        if self.n_steps == self.max_steps:
            self.referee.cut_off()
        return self._obs, reward, terminated, truncated, info

    def shoot(self) -> None:
        """Keep the screen as it is now."""
        screen: Any = self.env.render()
        frame = np.array(screen)  # a copy: some environments paint on one canvas
        if self.draw is not None:
            frame = self.draw(frame, self._obs, self._action)
        self.frames.append(frame)


@contextmanager
def _with_score_keeper(env: gym.Env[Any, Any]) -> Iterator[tuple[gym.Env[Any, Any], ScoreKeeper]]:
    """Put a referee beneath the wrappers of the model for a while.

    :return: the environment to play, and the referee inside.
    """
    outside: gym.Wrapper[Any, Any, Any, Any] | None = None
    layer = env
    while isinstance(layer, gym.Wrapper):
        # a time limit has two classes: importing RL Zoo puts its own in place of Gymnasium's
        is_time_limit = "_max_episode_steps" in vars(layer)
        if type(layer) not in _PART_OF_THE_GAME and not is_time_limit:
            outside = layer
        layer = layer.env
    if outside is None:
        referee = ScoreKeeper(env)
        yield referee, referee
        return
    game = outside.env
    outside.env = referee = ScoreKeeper(game)
    try:
        yield env, referee
    finally:
        outside.env = game
