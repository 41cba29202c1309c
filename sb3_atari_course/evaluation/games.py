"""Evaluation of agents: full games with unclipped rewards under a fixed protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.atari_wrappers import WarpFrame

from sb3_atari_course._common import MAX_FRAMES, N_ENVS
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
from sb3_atari_course.evaluation.side_by_side import Game, Play, Results, Slot, play_games
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
    n_envs: int = N_ENVS,
    progress_bar: bool = False,
    play: Play = play_games,
) -> GamesReport:
    """Evaluate a model on full games with unclipped rewards.

    - Game i depends only on ``seed`` and i, whatever ``n_envs``: the first ten scores of thirty are
      those of ten.
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
    :param n_envs: most games that are played side by side, with one batch of observations per step.
        ``env_wrapper`` is called once for each.
    :param progress_bar: show the progress on stderr: a bar on a terminal, else a line every 30 s.
    :param play: plays the games; ``Run.evaluate`` replaces it to use several processes.
    :return: the report.
    :raises TypeError: for a value of a wrong type; for an environment instead of its id.
    :raises ValueError: for a number out of range; for sticky actions without Atari or twice; for
        ``env_kwargs`` that ``max_frames`` or ``sticky_actions`` set; for spaces that do not match
        the model's; for a wrapper that restarts the game at a life loss; for a model that does not
        return one action for each observation of a batch.
    """
    integer_at_least(1, "n_games", n_games)
    integer_at_least(0, "seed", seed)
    integer_at_least(1, "max_frames", max_frames)
    integer_at_least(1, "n_envs", n_envs)
    epsilon = probability("epsilon", epsilon)
    sticky_actions = probability("sticky_actions", sticky_actions)
    random_play = boolean("random_play", random_play)
    progress_bar = boolean("progress_bar", progress_bar)
    if penalty is not None:
        finite_number("penalty", penalty)
    is_game = is_atari(env_id)
    if sticky_actions and not is_game:
        raise ValueError(f"sticky_actions are for Atari games, {env_id} is not one: leave them out")

    player = Player(model, n_envs=min(n_envs, n_games))
    if not isinstance(env_kwargs, Mapping | None):
        raise TypeError(f"env_kwargs must be a dict for gymnasium.make, got {env_kwargs!r}")
    if env_wrapper is not None and not callable(env_wrapper):
        raise TypeError(
            f"env_wrapper must be a function that wraps an environment, got {env_wrapper!r}: pass"
            " for example functools.partial(wrap_atari, crop=...)"
        )
    wrap = env_wrapper or (wrap_atari if is_game else lambda env: env)
    given = dict(env_kwargs or {})
    make = partial(make_score_keeper, env_id, max_frames, sticky_actions, penalty)
    order = [Game(i, [seed, i], epsilon) for i in range(n_games)]
    if random_play:
        order += [Game(n_games + i, [seed, i], 1.0) for i in range(n_games)]
    slots = _make_slots(env_id, player.n_envs, model, wrap, make, given)
    try:
        protocol = protocol_of(slots[0].env, slots[0].keeper, given)
        with closing(play(player, slots, order)) as results:
            collect = partial(_collect, results, disable=not progress_bar)
            found = collect({}, "Evaluating", range(n_games))
            if random_play:
                numbers = range(n_games, 2 * n_games)
                found = collect(found, "Evaluating random actions", numbers)
    finally:
        _close(slots)
    games = [found[i] for i in range(n_games)]
    at_random = [found[i] for i in range(n_games, len(order))]
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


def _collect(
    results: Results,
    found: dict[int, EpisodeStatistics],
    description: str,
    numbers: range,
    *,
    disable: bool,
) -> dict[int, EpisodeStatistics]:
    """Add results until the games of these numbers are complete, and show the progress."""
    found = dict(found)
    with Progress(description, total=len(numbers), unit="games", disable=disable) as progress:
        progress.update(len(found.keys() & numbers))
        while progress.n < len(numbers):
            number, found[number] = next(results)
            progress.update(number in numbers)
    return found


def _make_slots(
    env_id: str,
    n_slots: int,
    model: Model,
    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]],
    make: Callable[[dict[str, Any]], ScoreKeeper],
    env_kwargs: dict[str, Any],
) -> list[Slot]:
    """Make environments with the observations that the model was trained on."""
    slots: list[Slot] = []
    try:
        while len(slots) < n_slots:
            keeper = make(env_kwargs)
            env = _wrapped_game(wrap, keeper)
            reads_rgb = any(isinstance(layer, WarpFrame) for layer in layers(env))
            if reads_rgb and is_atari(env_id) and env_kwargs.get("obs_type") != "rgb":
                env.close()
                env_kwargs = {**env_kwargs, "obs_type": "rgb"}
                continue
            env = fit_to_model(env, model)
            if any(env.action_space is slot.env.action_space for slot in slots):
                env.action_space = deepcopy(env.action_space)  # an attribute of the class
            slots.append(Slot(env, keeper))
    except BaseException:
        _close(slots)
        raise
    return slots


def _close(slots: list[Slot]) -> None:
    for slot in slots:
        slot.env.close()


def _wrapped_game(
    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]], keeper: ScoreKeeper
) -> gym.Env[Any, Any]:
    """Apply the model's wrappers to the game, with no-op starts inside if they have none."""
    start = NoopReset(keeper, noop_max=max(1, NOOP_MAX // keeper.frames_per_step))
    env = wrap(start)
    if not isinstance(env, gym.Env):
        raise TypeError(f"env_wrapper must return an environment, got {env!r}")
    if find_noops(env, outside=start) is not None:
        start.noop_max = 0
    return env
