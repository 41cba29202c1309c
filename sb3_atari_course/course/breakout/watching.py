"""How an agent plays Breakout: whole games, watched frame by frame."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from sb3_atari_course._common.validation import (
    boolean,
    explain_arguments,
    integer_at_least,
    probability,
)
from sb3_atari_course.course.breakout.report import LifeStart, WatchReport
from sb3_atari_course.course.breakout.state import BreakoutState, breakout_behind, read_state
from sb3_atari_course.course.breakout.tally import GameTally
from sb3_atari_course.envs import wrap_atari
from sb3_atari_course.evaluation.player import Model, Player, fit_to_model
from sb3_atari_course.evaluation.protocol import make_score_keeper, protocol_of
from sb3_atari_course.wrappers.timing import frames_per_step

#: Cap of a game in frames: five minutes; an agent that never fires would stand there for ever.
MAX_FRAMES = 18_000


class BreakoutWatch(gym.Wrapper[Any, Any, Any, Any]):
    """Watches every frame; it stands around the emulator, beneath all other wrappers.

    ``tally`` has the counts of the game that is being played, ``state`` its last frame, and
    ``finished`` the counts of all games that are over: a wrapper outside can start the next one
    unseen, inside a reset that presses FIRE.

    :param env: Breakout, one frame a step.
    :raises ValueError: if it is another game, or plays several frames a step.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        breakout_behind(env)
        if frames_per_step(env) != 1:
            raise ValueError(
                f"BreakoutWatch must see every frame, but {env} plays {frames_per_step(env)} a"
                " step: take BreakoutNoFrameskip-v4, and put it beneath ActionRepeat"
            )
        super().__init__(env)
        self.tally = GameTally()
        self.finished: list[GameTally] = []
        self.state: BreakoutState

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset, and count from here."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.tally, self.state = GameTally(), read_state(self.env)
        return obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one frame, and count."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        before, self.state = self.state, read_state(self.env)
        self.tally.see(before, self.state, reward=float(reward))
        if terminated or truncated:
            self.tally.was_capped = not terminated
            self.finished.append(self.tally)
        return obs, reward, terminated, truncated, info


@explain_arguments
def watch_games(
    model: Model,
    *,
    n_games: int = 5,
    seed: int,
    epsilon: float = 0.0,
    forced_fire: bool = True,
    max_frames: int = MAX_FRAMES,
    wrapper_kwargs: dict[str, Any] | None = None,
    env_kwargs: dict[str, Any] | None = None,
) -> WatchReport:
    """Play whole games of Breakout, and count what the player does.

    Game i depends on ``seed`` and i only. Games go through all lives, with no-op starts and
    without sticky actions; scores are not clipped.

    :param model: an SB3 model, or anything with its ``predict``.
    :param n_games: number of games, at least 1.
    :param seed: decides the no-op starts and the random actions.
    :param epsilon: probability of a random action, 0 to 1. 0 shows the agent alone, but only four
        different games of it: the first ball depends on the number of no-ops modulo 4.
    :param forced_fire: press FIRE at the start of each life (``fire_on_reset`` of
        :func:`wrap_atari`); False shows whether the agent has learned to.
    :param max_frames: cap of a game in frames (18,000 are five minutes).
    :param wrapper_kwargs: for :func:`wrap_atari`, what the model was trained with: crop, shape;
        ``n_stack`` is 4 unless told.
    :param env_kwargs: for :func:`gymnasium.make`; screens are grey unless told, as in
        :func:`make_atari_env`.
    :raises ValueError: for a number out of range, for spaces that are not those of the model, for
        ``fire_on_reset`` in ``wrapper_kwargs``.
    :raises TypeError: for a ``forced_fire`` that is not a bool, a model without ``predict``.
    """
    integer_at_least(1, "n_games", n_games)
    integer_at_least(0, "seed", seed)
    integer_at_least(1, "max_frames", max_frames)
    epsilon = probability("epsilon", epsilon)
    forced_fire = boolean("forced_fire", forced_fire)
    if "fire_on_reset" in (wrapper_kwargs or {}):
        raise ValueError("say forced_fire=... instead of fire_on_reset in wrapper_kwargs")
    score_keeper = make_score_keeper("BreakoutNoFrameskip-v4", max_frames, 0.0, env_kwargs)
    watch = BreakoutWatch(score_keeper)
    settings = {"n_stack": 4, **(wrapper_kwargs or {}), "fire_on_reset": forced_fire}
    env = fit_to_model(wrap_atari(watch, **settings), model)
    player = Player(model)
    games: list[GameTally] = []
    lives: list[LifeStart] = []
    try:
        how = protocol_of(env, score_keeper, env_kwargs or {})
        for number in range(n_games):
            watch.finished.clear()
            score_keeper.start_game()
            begun = _watch_game(player, env, watch, seed=[seed, number], epsilon=epsilon)
            lives += [] if forced_fire else begun
            games.append(watch.finished[0])
    finally:
        env.close()
    how["whole_games"] = not any(game.was_capped for game in games)
    protocol = {"n_games": n_games, "seed": seed, "epsilon": epsilon, "forced_fire": forced_fire}
    return WatchReport(tuple(games), tuple(lives), {**protocol, **how})


def _watch_game(
    player: Player,
    env: gym.Env[Any, Any],
    watch: BreakoutWatch,
    *,
    seed: list[int],
    epsilon: float,
) -> list[LifeStart]:
    """Play one game; return how its lives began, as far as no wrapper began them."""
    rng = np.random.default_rng(seed)
    env_seed = int(rng.integers(2**31))
    env.action_space.seed(env_seed)
    player.begin_game()
    obs, _ = env.reset(seed=env_seed)
    lives, n_waited = [], 0
    while not watch.finished:
        is_random = rng.random() < epsilon
        if is_random:
            player.skip(obs)
            action = env.action_space.sample()
        else:
            action = player.act(obs)
        was_waiting = not watch.state.ball_in_play
        tally, n_balls = watch.tally, watch.tally.n_balls
        obs, _, terminated, truncated, _ = env.step(action)
        if tally.n_balls > n_balls:  # FIRE can lose a ball and begin the next one in the same step
            lives.append(LifeStart(n_waited, "chance" if is_random else "agent"))
            n_waited = 0
        elif was_waiting:
            n_waited += 1
        if (terminated or truncated) and not watch.finished:  # a lost life
            obs, _ = env.reset()
            player.begin_episode()
    return [*lives, LifeStart(n_waited, "nobody")] if n_waited else lives
