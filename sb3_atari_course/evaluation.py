"""The one way in which a score is made: whole, unclipped games under a fixed protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import NoopResetEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course.envs import is_atari, make_game, wrap_atari
from sb3_atari_course.wrappers import FrameStack, NoopReset

#: Most no-ops (emulator frames) before a game; Mnih et al. 2015, Extended Data Table 1.
NOOP_MAX = 30


class Model(Protocol):
    """What is needed of a model: SB3's ``predict`` (any SB3 algorithm, or a player of yours)."""

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[NDArray[Any], Any]:
        """Return actions for a batch of observations, and a state that is not used."""


@dataclass(frozen=True)
class GamesReport:
    """The scores of whole games, how they were made, and those of random play beside them.

    :param env_id: the environment.
    :param scores: true score of each game (return of each episode), in order.
    :param lengths: length of each game, in emulator frames (steps for an env that is no game).
    :param random_scores: the same games, with the same starts, played at random; maybe none.
    :param protocol: how the scores were made, name -> value.
    """

    env_id: str
    scores: tuple[float, ...]
    lengths: tuple[int, ...]
    random_scores: tuple[float, ...]
    protocol: dict[str, Any]

    @property
    def mean(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))

    @property
    def std(self) -> float:
        """Standard deviation of the scores (over the games, divisor n, as SB3 prints it)."""
        return float(np.std(self.scores))

    @property
    def random_mean(self) -> float | None:
        """Mean score of random play, None if it was not asked for."""
        return float(np.mean(self.random_scores)) if self.random_scores else None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        summary = {"mean": self.mean, "std": self.std, "random_mean": self.random_mean}
        return {**summary, **asdict(self)}

    def __str__(self) -> str:
        n_games = len(self.scores)
        lines = [
            f"{self.env_id}: {self.mean:.2f} +- {self.std:.2f} (mean +- SD of {n_games} games)"
        ]
        if self.random_scores:
            lines.append(
                f"random play: {self.random_mean:.2f} +- {np.std(self.random_scores):.2f}"
                " (the same games)"
            )
        lines.append("scores: " + " ".join(f"{score:g}" for score in self.scores))
        lines.append("protocol: " + ", ".join(f"{k} {v}" for k, v in self.protocol.items()))
        return "\n".join(lines)


def evaluate_games(
    model: Model,
    env_id: str,
    *,
    n_games: int = 30,
    seed: int,
    epsilon: float = 0.05,
    max_frames: int = 108_000,
    sticky_actions: float = 0.0,
    env_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    random_play: bool = True,
) -> GamesReport:
    """Play whole games with a model and report their true scores.

    Game i depends on ``seed`` and i only: the first ten scores of thirty are those of ten. Actions
    are the model's best ones, replaced by random ones with probability ``epsilon``: the model's
    own exploration, whatever its training left behind, plays no part. A game lasts until it is
    over, through all lives, whatever the training saw as an episode; scores are not clipped. A
    model that wants more channels than the environment shows gets a zero-padded frame stack, as
    RL Zoo's ``frame_stack`` makes it.

    :param model: an SB3 model, or anything with its ``predict``.
    :param env_id: e.g. ``"BreakoutNoFrameskip-v4"``; small environments work as well.
    :param n_games: number of games, at least 1.
    :param seed: decides the starts and the random actions.
    :param epsilon: probability of a random action, 0 to 1.
    :param max_frames: cap on the length of a game, in emulator frames (108,000 are half an hour;
        steps for an environment that is no game).
    :param sticky_actions: probability that the emulator repeats the last action, whatever the id
        says (Machado et al. 2018 use 0.25).
    :param env_wrapper: what the model was trained with, :func:`wrap_atari` with the same crop,
        shape, ... for a game; default: ``wrap_atari`` for a game, else nothing. No-op starts are
        added where it brings none.
    :param env_kwargs: for :func:`gymnasium.make`, e.g. ``{"obs_type": "grayscale"}``.
    :param random_play: play the same games at random too.
    :raises ValueError: for a number out of range, for observations that do not fit the model, for
        a wrapper that restarts the game at a lost life.
    """
    if n_games < 1:
        raise ValueError(f"n_games must be at least 1, got {n_games}")
    for name, value in (("epsilon", epsilon), ("sticky_actions", sticky_actions)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is a probability, 0 to 1, got {value}")
    if max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, got {max_frames}")

    env = _make_env(env_id, max_frames, sticky_actions, env_kwargs or {}, env_wrapper)
    env = _fit_to_model(env, model)
    try:
        games = [_play_game(model, env, [seed, game], epsilon) for game in range(n_games)]
        at_random = [
            _play_game(model, env, [seed, game], 1.0)[0] for game in range(n_games * random_play)
        ]
        protocol = _protocol(env, seed, epsilon, max_frames, sticky_actions)
    finally:
        env.close()
    return GamesReport(
        env_id=env_id,
        scores=tuple(score for score, _ in games),
        lengths=tuple(length for _, length in games),
        random_scores=tuple(at_random),
        protocol=protocol,
    )


def _make_env(
    env_id: str,
    max_frames: int,
    sticky_actions: float,
    env_kwargs: dict[str, Any],
    env_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None,
) -> gym.Env[Any, Any]:
    """Make the env with its cap, Monitor inside, no-op starts and the model's wrappers."""
    is_game = is_atari(env_id)
    if is_game:
        rules = {
            "max_num_frames_per_episode": max_frames,
            "repeat_action_probability": sticky_actions,
        }
        env = make_game(env_id, **{**env_kwargs, **rules})
    else:
        env = gym.wrappers.TimeLimit(make_game(env_id, **env_kwargs), max_frames)
    # Monitor refuses a reset in the middle of a game: a score is a whole game or none.
    env = Monitor(env, allow_early_resets=False)
    wrap = env_wrapper or (wrap_atari if is_game else lambda env: env)
    wrapped = wrap(env)
    if is_game and not (is_wrapped(wrapped, NoopReset) or is_wrapped(wrapped, NoopResetEnv)):
        wrapped = wrap(NoopReset(env, noop_max=NOOP_MAX))
    return wrapped


def _fit_to_model(env: gym.Env[Any, Any], model: Model) -> gym.Env[Any, Any]:
    """Stack frames if the model reads more channels than ``env`` shows; refuse what cannot fit."""
    wanted, shown = getattr(model, "observation_space", None), env.observation_space
    if wanted is None or wanted == shown:
        return env
    is_image = all(isinstance(s, spaces.Box) and len(s.shape) == 3 for s in (wanted, shown))
    if is_image:
        height, width, channels = shown.shape or ()
        n_stack = wanted.shape[0] // channels
        if wanted.shape == (n_stack * channels, height, width):
            return FrameStack(env, n_stack=n_stack, padding="zero") if n_stack > 1 else env
    elif wanted.shape == shown.shape:
        return env  # a Box with other bounds, say
    env.close()
    raise ValueError(
        f"the model reads {wanted}, but the environment shows {shown}: pass the env_wrapper with"
        " which it was trained (crop, shape and n_stack of wrap_atari, or another env_id)"
    )


def _play_game(
    model: Model, env: gym.Env[Any, Any], seed: list[int], epsilon: float
) -> tuple[float, int]:
    """Play one game to its real end; return its true score and its length in frames."""
    rng = np.random.default_rng(seed)
    env_seed = int(rng.integers(2**31))
    env.action_space.seed(env_seed)
    obs, info = env.reset(seed=env_seed)
    while True:
        if rng.random() < epsilon:
            action = env.action_space.sample()
        else:
            action = model.predict(np.asarray(obs)[None], deterministic=True)[0][0]
        obs, _, terminated, truncated, info = env.step(action)
        if "episode" in info:
            return float(info["episode"]["r"]), int(
                info.get("episode_frame_number", info["episode"]["l"])
            )
        if terminated or truncated:  # a lost life: go on with the same game
            try:
                obs, info = env.reset()
            except RuntimeError as error:
                raise ValueError(
                    f"a wrapper in {env} restarts the game when an episode ends, at a lost life"
                    " perhaps: no whole game can be scored (LifeLossTerminal goes on)"
                ) from error


def _protocol(
    env: gym.Env[Any, Any], seed: int, epsilon: float, max_frames: int, sticky_actions: float
) -> dict[str, Any]:
    """Say how the scores were made; what only games have is left out elsewhere."""
    protocol: dict[str, Any] = {"seed": seed, "epsilon": epsilon}
    if not isinstance(env.unwrapped, AtariEnv):
        return {**protocol, "max_steps": max_frames}
    noop_max: Any = None
    layer: Any = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, (NoopReset, NoopResetEnv)):
            noop_max = layer.noop_max
        layer = layer.env
    return {
        **protocol,
        "max_frames": max_frames,
        "noop_max_frames": noop_max,
        "sticky_actions": sticky_actions,
        "whole_games": True,
        "clipped": False,
    }
