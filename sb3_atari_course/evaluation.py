"""The one way in which a score is made: whole, unclipped games under a fixed protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import NoopResetEnv

from sb3_atari_course.envs import is_atari, wrap_atari
from sb3_atari_course.referee import Referee, Tally, make_referee
from sb3_atari_course.wrappers import FrameStack, NoopReset
from sb3_atari_course.wrappers.checks import finite_number, integer_at_least

#: Cap of a game, in emulator frames: half an hour; Mnih et al. 2015 play for as long.
MAX_FRAMES = 108_000

#: Scores shown one by one in the text of a report; it has all of them.
_MOST_SCORES = 100

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
    :param penalties: number of penalties in each game, empty if they were not asked for.
    """

    env_id: str
    scores: tuple[float, ...]
    lengths: tuple[int, ...]
    random_scores: tuple[float, ...]
    protocol: dict[str, Any]
    penalties: tuple[int, ...] = ()

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

    @property
    def mean_length(self) -> float:
        """Mean length, in emulator frames (steps for an env that is no game)."""
        return float(np.mean(self.lengths))

    @property
    def mean_penalties(self) -> float | None:
        """Mean number of penalties in a game, None if they were not asked for."""
        return float(np.mean(self.penalties)) if self.penalties else None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        summary = {"mean": self.mean, "std": self.std, "random_mean": self.random_mean}
        return {**summary, **asdict(self)}

    def summary(self) -> str:
        """Return mean and SD, random play, length and penalties, without the single scores."""
        n_games = len(self.scores)
        lines = [
            f"{self.env_id}: {self.mean:.2f} +- {self.std:.2f} (mean +- SD of {n_games} games)"
        ]
        if self.random_scores:
            lines.append(
                f"random play: {self.random_mean:.2f} +- {np.std(self.random_scores):.2f}"
                " (the same games)"
            )
        unit = "frames" if "max_frames" in self.protocol else "steps"
        length = f"length: {self.mean_length:.1f} {unit} a game"
        if self.penalties:
            length += f", penalties: {self.mean_penalties:.2f} a game"
        return "\n".join([*lines, length])

    def __str__(self) -> str:
        more = " ..." if len(self.scores) > _MOST_SCORES else ""
        scores = "scores: " + " ".join(f"{score:g}" for score in self.scores[:_MOST_SCORES]) + more
        protocol = "protocol: " + ", ".join(f"{k} {v}" for k, v in self.protocol.items())
        return "\n".join([self.summary(), scores, protocol])


def evaluate_games(
    model: Model,
    env_id: str,
    *,
    n_games: int = 30,
    seed: int,
    epsilon: float = 0.05,
    max_frames: int = MAX_FRAMES,
    sticky_actions: float = 0.0,
    env_wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    random_play: bool = True,
    penalty: float | None = None,
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
    :param env_kwargs: for :func:`gymnasium.make`. Screens are grey as in :func:`make_atari_env`;
        for a model trained by RL Zoo pass ``{"obs_type": "rgb"}``, as the command does.
    :param random_play: play the same games at random too.
    :param penalty: count the steps that pay exactly this, -10 for an illegal action in Taxi.
    :raises TypeError: for a penalty that is no number.
    :raises ValueError: for a number out of range, for sticky actions where there is no game, for
        observations that do not fit the model, for a wrapper that restarts the game at a lost life.
    """
    integer_at_least(1, "n_games", n_games)
    integer_at_least(0, "seed", seed)
    integer_at_least(1, "max_frames", max_frames)
    for name, value in (("epsilon", epsilon), ("sticky_actions", sticky_actions)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is a probability, 0 to 1, got {value}")
    if penalty is not None:
        finite_number("penalty", penalty)
    if sticky_actions and not is_atari(env_id):
        raise ValueError(f"sticky_actions are for Atari games, {env_id} is none: leave them out")

    referee = make_referee(env_id, max_frames, sticky_actions, env_kwargs)
    referee.penalty = penalty
    start = NoopReset(referee, noop_max=max(1, NOOP_MAX // referee.frames_per_step))
    wrap = env_wrapper or (wrap_atari if is_atari(env_id) else lambda env: env)
    env = fit_to_model(wrap(start), model)
    theirs = _noops_of(env, start)
    if theirs is not None:
        start.noop_max = 0  # the model's wrappers bring some
    try:
        games = [play_game(model, env, referee, [seed, game], epsilon) for game in range(n_games)]
        at_random = [
            play_game(model, env, referee, [seed, game], 1.0).score
            for game in range(n_games * random_play)
        ]
    finally:
        env.close()
    protocol: dict[str, Any] = {"n_games": n_games, "seed": seed, "epsilon": epsilon}
    if is_atari(env_id):
        noop_max = start.noop_max if theirs is None else theirs
        protocol |= {
            "max_frames": max_frames,
            "noop_max_frames": noop_max * referee.frames_per_step,
            "sticky_actions": sticky_actions,
            "screens": referee.unwrapped._obs_type,  # type: ignore[attr-defined]
            "whole_games": True,
            "clipped": False,
        }
    else:
        protocol["max_steps"] = referee.max_steps
    if penalty is not None:
        protocol["penalty"] = penalty
    return GamesReport(
        env_id=env_id,
        scores=tuple(game.score for game in games),
        lengths=tuple(game.n_frames for game in games),
        random_scores=tuple(at_random),
        protocol=protocol,
        penalties=() if penalty is None else tuple(game.n_penalties for game in games),
    )


def _noops_of(env: gym.Env[Any, Any], start: NoopReset) -> int | None:
    """Return the most no-ops that a wrapper outside ``start`` plays, None if there is none."""
    while isinstance(env, gym.Wrapper) and env is not start:
        if isinstance(env, (NoopReset, NoopResetEnv)):
            return env.noop_max
        env = env.env
    return None


def fit_to_model(env: gym.Env[Any, Any], model: Model) -> gym.Env[Any, Any]:
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
    elif all(isinstance(s, spaces.Box) for s in (wanted, shown)) and wanted.shape == shown.shape:
        return env  # with other bounds, say
    env.close()
    raise ValueError(
        f"the model reads {wanted}, but the environment shows {shown}: pass the env_wrapper with"
        " which it was trained (crop, shape and n_stack of wrap_atari, bins), or another env_id"
    )


def play_game(
    model: Model, env: gym.Env[Any, Any], referee: Referee, seed: list[int], epsilon: float
) -> Tally:
    """Play one game to its real end; return what the referee counted."""
    rng = np.random.default_rng(seed)
    env_seed = int(rng.integers(2**31))
    env.action_space.seed(env_seed)
    referee.start_game()
    obs, _ = env.reset(seed=env_seed)
    while not referee.over:
        if rng.random() < epsilon:
            action = env.action_space.sample()
        else:
            action = model.predict(np.asarray(obs)[None], deterministic=True)[0][0]
        obs, _, terminated, truncated, _ = env.step(action)
        if (terminated or truncated) and not referee.over:  # a lost life
            obs, _ = env.reset()
    return referee.tally
