"""Evaluation of agents: full games with unclipped rewards under a fixed protocol."""

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

#: Maximum number of scores printed in a report, which stores all of them.
_MOST_SCORES = 100

#: Most no-ops (emulator frames) before a game if the wrappers have no ``NoopReset``, whose
#: ``noop_max`` decides; Mnih et al. 2015, Extended Data Table 1.
NOOP_MAX = 30


@dataclass(frozen=True)
class GamesReport:
    """Evaluation report: scores of full games, the protocol, and scores of random play.

    :param env_id: environment id.
    :param scores: score of each game (unclipped return of each episode), in order.
    :param lengths: length of each game in emulator frames; in steps for other environments.
    :param random_scores: scores of random play in the same games (same seeds); may be empty.
    :param protocol: evaluation protocol, name -> value.
    :param penalties: number of penalties in each game; empty if they were not counted.
    """

    env_id: str
    scores: tuple[float, ...]
    lengths: tuple[int, ...]
    random_scores: tuple[float, ...]
    protocol: dict[str, Any]
    penalties: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return float(np.mean(self.scores))

    @property
    def std(self) -> float:
        """Standard deviation of the scores over the games (divisor n, as in SB3)."""
        return float(np.std(self.scores))

    @property
    def random_mean(self) -> float | None:
        """Mean score of random play; None without random play."""
        return float(np.mean(self.random_scores)) if self.random_scores else None

    @property
    def mean_length(self) -> float:
        """Mean length of a game in emulator frames; in steps for other environments."""
        return float(np.mean(self.lengths))

    @property
    def mean_penalties(self) -> float | None:
        """Mean number of penalties per game; None if they were not counted."""
        return float(np.mean(self.penalties)) if self.penalties else None

    def as_dict(self) -> dict[str, Any]:
        """Return the report with its mean and standard deviation as JSON-serializable values."""
        summary = {"mean": self.mean, "std": self.std, "random_mean": self.random_mean}
        return {**summary, **asdict(self)}

    def summary(self) -> str:
        """Return mean and SD, random play, length and penalties as text, without single scores."""
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
    """Evaluate a model on full games with unclipped rewards.

    - Game i depends only on ``seed`` and i: the first ten scores of thirty are those of ten.
    - Actions are greedy, replaced by random ones with probability ``epsilon``. This evaluation
      epsilon is independent of the model's exploration rate in training.
    - A game lasts until it is over, across all lives; rewards are not clipped. The state of a
      recurrent policy is kept for the full game.
    - Observations are those of training: normalized by the model's ``VecNormalize``, and stacked
      with zero padding, as by ``VecFrameStack``, for a model that expects stacked observations.
    - The protocol in the report is read from the environment: sticky actions, mode, difficulty,
      time limits and no-ops, including those of wrappers.

    :param model: an SB3 model, or any object with its ``predict()``.
    :param env_id: environment id, for example ``"BreakoutNoFrameskip-v4"``; not only Atari.
    :param n_games: number of games (episodes), at least 1.
    :param seed: seed of the initial states and random actions, at least 0.
    :param epsilon: probability of a random action, 0 to 1.
    :param max_frames: time limit of a game in emulator frames (108,000 are 30 minutes at 60 Hz); in
        steps for other environments.
    :param sticky_actions: probability that the emulator repeats the last action, regardless of the
        id's default (Machado et al. 2018 use 0.25); Atari only.
    :param env_wrapper: wrapper function used in training, such as
        ``functools.partial(wrap_atari, crop=...)``. Default:
        :func:`~sb3_atari_course.envs.atari.wrap_atari` for Atari, none otherwise. For Atari, no-op
        starts are added if it has none.
    :param env_kwargs: arguments of :func:`gymnasium.make`. Atari frames are grayscale, as in
        :func:`~sb3_atari_course.envs.atari.make_atari_env`, or RGB if ``env_wrapper`` contains
        SB3's ``WarpFrame``; for models trained by RL Zoo pass ``{"obs_type": "rgb"}``.
    :param random_play: also play the same games with random actions.
    :param penalty: reward that is counted as a penalty, for example -10 (illegal action in Taxi).
    :param progress_bar: show the progress on stderr: a bar on a terminal, else a line every 30 s.
    :return: the report.
    :raises TypeError: for a value of a wrong type; for an environment instead of its id.
    :raises ValueError: for a number out of range; for sticky actions without Atari or twice; for
        ``env_kwargs`` that ``max_frames`` or ``sticky_actions`` set; for spaces that do not match
        the model's; for a wrapper that restarts the game at a life loss.
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
        raise ValueError(f"sticky_actions are for Atari games, {env_id} is not one: leave them out")

    player = Player(model)
    if not isinstance(env_kwargs, Mapping | None):
        raise TypeError(f"env_kwargs must be a dict for gymnasium.make, got {env_kwargs!r}")
    if env_wrapper is not None and not callable(env_wrapper):
        raise TypeError(
            f"env_wrapper must be a function that wraps an environment, got {env_wrapper!r}: pass"
            " for example functools.partial(wrap_atari, crop=...)"
        )
    wrap = env_wrapper or (wrap_atari if is_game else lambda env: env)
    given = dict(env_kwargs or {})
    keeper, env = _wrapped_game(wrap, make_score_keeper(env_id, max_frames, sticky_actions, given))
    reads_rgb = any(isinstance(layer, WarpFrame) for layer in layers(env))  # requires RGB
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
    """Apply the model's wrappers to the game, with no-op starts inside if they have none."""
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
    """Play one full game and return its statistics.

    :param player: the model.
    :param env: wrapped environment from ``fit_to_model()``, with ``keeper`` inside.
    :param keeper: records score and length.
    :param seed: seed of the initial state and the random actions, as for
        :func:`numpy.random.default_rng`.
    :param epsilon: probability of a random action, 0 to 1.
    :return: score, length and number of penalties.
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
            keeper.cut_off()  # the truncation may come from a wrapper outside the keeper
        elif terminated and not keeper.over:  # a life loss
            obs, _ = env.reset()
            player.begin_episode()
    return keeper.statistics
