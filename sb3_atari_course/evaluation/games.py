"""Evaluation of agents: whole, unclipped games under a fixed protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.atari_wrappers import WarpFrame

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course._common.progress import Progress
from sb3_atari_course._common.validation import (
    boolean,
    explain_arguments,
    finite_number,
    integer_at_least,
    probability,
)
from sb3_atari_course.envs import is_atari, wrap_atari
from sb3_atari_course.evaluation.player import Model, Player, fit_to_model
from sb3_atari_course.evaluation.protocol import (
    EpisodeStatistics,
    ScoreKeeper,
    find_noops,
    make_score_keeper,
    protocol_of,
)
from sb3_atari_course.wrappers import NoopReset
from sb3_atari_course.wrappers.timing import layers

#: Scores shown one by one in the text of a report; it has all of them.
_MOST_SCORES = 100

#: Most no-ops (emulator frames) before a game; Mnih et al. 2015, Extended Data Table 1.
NOOP_MAX = 30


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


@explain_arguments
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
    progress_bar: bool = False,
) -> GamesReport:
    """Play whole games with a model and report their true scores.

    Game i depends on ``seed`` and i only: the first ten scores of thirty are those of ten. Actions
    are the model's best ones, replaced by random ones with probability ``epsilon``: the model's
    own exploration, whatever its training left behind, plays no part. A recurrent policy keeps its
    state through a game. A game lasts until it is over, through all lives, whatever the training
    saw as an episode; scores are not clipped. Observations are those of the training: normalised
    by the ``VecNormalize`` that the model carries, and in a zero-padded stack for a model that
    reads several at once, as RL Zoo's ``frame_stack`` makes it.

    The protocol in the report is read from the environment that was played: sticky actions, mode,
    difficulty, limits and no-ops of wrappers are in it.

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
    :param env_kwargs: for :func:`gymnasium.make`. Screens are grey as in :func:`make_atari_env`,
        or RGB if ``env_wrapper`` brings SB3's ``WarpFrame``; for a model trained by RL Zoo pass
        ``{"obs_type": "rgb"}``, as the command does.
    :param random_play: play the same games at random too.
    :param penalty: count the steps that pay exactly this, -10 for an illegal action in Taxi.
    :param progress_bar: show the progress on stderr: a bar on a terminal, else a line every 30 s.
    :raises TypeError: for an environment instead of its id, a penalty that is not a number, a
        ``random_play`` or ``progress_bar`` that is not a bool, a model without ``predict``, an
        ``env_wrapper`` that is not a function.
    :raises ValueError: for a number out of range, for sticky actions without a game or
        twice, for ``env_kwargs`` that ``max_frames`` and ``sticky_actions`` decide, for spaces that
        are not those of the model, for a wrapper that restarts the game at a life loss.
    """
    integer_at_least(1, "n_games", n_games)
    integer_at_least(0, "seed", seed)
    integer_at_least(1, "max_frames", max_frames)
    epsilon = probability("epsilon", epsilon)
    sticky_actions = probability("sticky_actions", sticky_actions)
    random_play = boolean("random_play", random_play)
    progress_bar = boolean("progress_bar", progress_bar)
    if penalty is not None:
        finite_number("penalty", penalty)
    is_game = is_atari(env_id)
    if sticky_actions and not is_game:
        raise ValueError(f"sticky_actions are for Atari games, {env_id} is none: leave them out")

    player = Player(model)
    if not isinstance(env_kwargs, Mapping | None):
        raise TypeError(f"env_kwargs must be a dict of arguments of gym.make, got {env_kwargs!r}")
    if env_wrapper is not None and not callable(env_wrapper):
        raise TypeError(
            f"env_wrapper must be a function of an environment, got {env_wrapper!r}:"
            " functools.partial(wrap_atari, crop=...)"
        )
    wrap = env_wrapper or (wrap_atari if is_game else lambda env: env)
    given = dict(env_kwargs or {})
    keeper, env = _wrapped_game(wrap, make_score_keeper(env_id, max_frames, sticky_actions, given))
    reads_rgb = any(isinstance(layer, WarpFrame) for layer in layers(env))  # it takes RGB only
    if is_game and reads_rgb and given.get("obs_type") != "rgb":
        env.close()
        rgb = make_score_keeper(env_id, max_frames, sticky_actions, {**given, "obs_type": "rgb"})
        keeper, env = _wrapped_game(wrap, rgb)
    keeper.penalty = penalty
    env = fit_to_model(env, model)
    try:
        protocol = protocol_of(env, keeper, given)
        seeds = [[seed, game] for game in range(n_games)]
        shown = partial(Progress, total=n_games, unit="games", disable=not progress_bar)
        with shown("Evaluating") as progress:
            games = _play_games(player, env, keeper, seeds, epsilon, progress)
        with shown("Evaluating random actions") as progress:
            seeds = seeds if random_play else []
            at_random = _play_games(player, env, keeper, seeds, 1.0, progress)
    finally:
        env.close()
    if is_game:
        protocol["whole_games"] = not any(game.was_cut_off for game in games)
    if penalty is not None:
        protocol["penalty"] = penalty
    return GamesReport(
        env_id=env_id,
        scores=tuple(game.score for game in games),
        lengths=tuple(game.n_frames for game in games),
        random_scores=tuple(game.score for game in at_random),
        protocol={"n_games": n_games, "seed": seed, "epsilon": epsilon, **protocol},
        penalties=() if penalty is None else tuple(game.n_penalties for game in games),
    )


def _wrapped_game(
    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]], keeper: ScoreKeeper
) -> tuple[ScoreKeeper, gym.Env[Any, Any]]:
    """Put the model's wrappers around the game, and no-op starts inside if they bring none."""
    start = NoopReset(keeper, noop_max=max(1, NOOP_MAX // keeper.frames_per_step))
    env = wrap(start)
    if not isinstance(env, gym.Env):
        raise TypeError(f"env_wrapper must return an environment, got {env!r}")
    if find_noops(env, outside=start) is not None:
        start.noop_max = 0
    return keeper, env


def _play_games(
    player: Player,
    env: gym.Env[Any, Any],
    keeper: ScoreKeeper,
    seeds: list[list[int]],
    epsilon: float,
    progress: Progress,
) -> list[EpisodeStatistics]:
    """Play one game for each seed."""
    games = []
    for seed in seeds:
        games.append(play_game(player, env, keeper, seed, epsilon))
        progress.update()
    return games


def play_game(
    player: Player,
    env: gym.Env[Any, Any],
    keeper: ScoreKeeper,
    seed: list[int],
    epsilon: float,
) -> EpisodeStatistics:
    """Play one game to its real end; return what the score keeper counted.

    :param env: with the score keeper inside; :func:`.fit_to_model` has made it fit.
    """
    rng = np.random.default_rng(seed)
    env_seed = int(rng.integers(2**31))
    env.action_space.seed(env_seed)
    keeper.start_game()
    player.begin_game()
    obs, _ = env.reset(seed=env_seed)
    while not keeper.over:
        if rng.random() < epsilon:
            if epsilon < 1.0:
                player.skip(obs)
            action = env.action_space.sample()
        else:
            action = player.act(obs)
        obs, _, terminated, truncated, _ = env.step(action)
        if truncated:
            keeper.cut_off()  # maybe by a wrapper outside of it
        elif terminated and not keeper.over:  # a life loss
            obs, _ = env.reset()
            player.begin_episode()
    return keeper.statistics
