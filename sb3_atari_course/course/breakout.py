"""Breakout: what is where on the screen, how an agent plays, what its network expects.

- :func:`read_state`: paddle, ball and bricks of one frame.
- :func:`watch_games`: whole games, counted frame by frame.
- :func:`q_values_of`, :func:`draw_q_values`: Q-values, and as bars beside the screen of any game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

import cv2
import gymnasium as gym
import numpy as np
import torch as th
from ale_py.env import AtariEnv
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course._common.validation import boolean, explain_arguments, integer_at_least
from sb3_atari_course.envs import wrap_atari
from sb3_atari_course.evaluation import evaluate_games
from sb3_atari_course.evaluation.player import Model
from sb3_atari_course.wrappers.timing import frames_per_step

#: Cap of a game in frames: five minutes; an agent that never fires would stand there for ever.
MAX_FRAMES = 18_000

# Found by comparing memory and screen; tests/course/test_breakout.py proves it anew.
_BALL_X, _BALL_Y, _PADDLE_X, _HALF_PADDLE = 99, 101, 72, 108
_BALL_LEFT_AT_ZERO, _BALL_TOP_AT_ZERO, _PADDLE_LEFT_AT_ZERO = -49, 9, -47
_NO_BALL = 0  # in _BALL_Y

# The wall is a playfield of the console, two bits a brick. For each column of bricks: where its six
# bytes begin (lowest row first), and one of its bits. The console draws some bytes back to front.
_BYTES = (30, 24, 24, 24, 24, 18, 18, 18, 18, 12, 12, 6, 6, 6, 6, 0, 0, 0)
_BITS = (7, 7, 5, 3, 1, 1, 3, 5, 7, 5, 7, 7, 5, 3, 1, 1, 3, 5)
_BRICK_BYTES = np.array(_BYTES)[None, :] + np.arange(5, -1, -1)[:, None]  # (6, 18)
_BRICK_BITS = np.array(_BITS, dtype=np.uint8)[None, :]

#: The rows below this one are the lower half of the screen.
_MIDDLE_ROW = 105

#: A ball that turns upwards below this row was returned by the paddle (rows 189 to 192).
_PADDLE_ROW = 170

#: Width of the panel of Q-values, in pixels of the result, and of the margins of its bars.
_PANEL_WIDTH, _MARGIN = 240, 12
_MOST_ROW = 64  # height of one action's text and bar
_TEXT, _DIM, _BACK = (235, 235, 235), (90, 90, 90), (24, 24, 24)
_BAR, _CHOSEN_BAR = (90, 140, 200), (240, 170, 40)


@dataclass(frozen=True, eq=False)
class BreakoutState:
    """One frame of Breakout, in pixels of the screen of 210 rows and 160 columns.

    :param paddle_x: column of the middle of the paddle; the wall on the right can hide half of it.
    :param paddle_width: in pixels: 16, or 12 once the ball has touched the top.
    :param ball_x: column of the middle of the ball (2 wide, 4 high), None if none is in play.
    :param ball_y: row of the middle of the ball, None if none is in play. Beside bricks the console
        draws it up to one row higher.
    :param lives: lives left, that which is being played included: 5 at the start.
    :param bricks: (6, 18) bool, which bricks stand, the top row first; one is 6 rows high and 8
        columns wide, the wall begins at row 57, column 8.
    """

    paddle_x: int
    paddle_width: int
    ball_x: int | None
    ball_y: int | None
    lives: int
    bricks: NDArray[np.bool_]

    @property
    def ball_in_play(self) -> bool:
        """Whether there is a ball; without one the game waits for FIRE."""
        return self.ball_y is not None


def read_state(env: gym.Env[Any, Any]) -> BreakoutState:
    """Read the frame that the emulator shows now, from the console's memory.

    That is surer than the pixels: the ball has the colour of the bricks beside it, and walls hide
    it.

    :param env: Breakout, with any wrappers around it.
    :raises ValueError: if it is another game, or a variant of Breakout (``mode``).
    """
    emulator: Any = env.unwrapped
    if not isinstance(emulator, AtariEnv) or emulator._game != "breakout":
        raise ValueError(
            f"only Breakout can be read so, got {env}: make it with BreakoutNoFrameskip-v4"
        )
    if emulator._game_mode not in (None, 0):
        raise ValueError(
            f"only Breakout's usual game can be read so, got mode={emulator._game_mode}:"
            " leave mode out"
        )
    ram = emulator.ale.getRAM()  # (128,) uint8
    half_paddle = int(ram[_HALF_PADDLE])
    has_ball = ram[_BALL_Y] != _NO_BALL
    return BreakoutState(
        paddle_x=int(ram[_PADDLE_X]) + _PADDLE_LEFT_AT_ZERO + half_paddle,
        paddle_width=2 * half_paddle,
        ball_x=int(ram[_BALL_X]) + _BALL_LEFT_AT_ZERO + 1 if has_ball else None,
        ball_y=int(ram[_BALL_Y]) + _BALL_TOP_AT_ZERO + 2 if has_ball else None,
        lives=emulator.ale.lives(),
        bricks=(ram[_BRICK_BYTES] >> _BRICK_BITS & 1).astype(bool),
    )


@dataclass
class GameStatistics:
    """Statistics of one game; every frame is passed to :meth:`add` once, in order.

    :param score: true score.
    :param n_frames: length in frames, no-ops of the start included.
    :param n_balls: balls that came into play: one for each life.
    :param n_bricks: bricks that vanished.
    :param n_from_above: those of them that a falling ball hit.
    :param n_returns: how often the paddle returned the ball.
    :param longest_rally: most returns in one life.
    :param distances: columns (pixels) between the middles of paddle and ball, one for each frame
        in which the ball fell in the lower half of the screen.
    :param was_capped: the game was cut off before its end.
    """

    score: float = 0.0
    n_frames: int = 0
    n_balls: int = 0
    n_bricks: int = 0
    n_from_above: int = 0
    n_returns: int = 0
    longest_rally: int = 0
    distances: list[int] = field(default_factory=list)
    was_capped: bool = False
    _was_falling: bool = field(default=False, repr=False)
    _rally: int = field(default=0, repr=False)

    def add(self, before: BreakoutState, after: BreakoutState, *, reward: float) -> None:
        """Count one frame.

        :param before: the frame before.
        :param after: this frame.
        :param reward: its reward, unclipped.
        """
        self.score += reward
        self.n_frames += 1
        self.n_balls += after.ball_in_play and not before.ball_in_play
        n_gone = int(np.sum(before.bricks & ~after.bricks))
        self.n_bricks += n_gone
        # a brick turns the ball around, so what counts is how the ball moved until then
        self.n_from_above += n_gone * self._was_falling
        if before.ball_y is None or after.ball_y is None or after.ball_x is None:
            self._was_falling, self._rally = False, 0
            return
        if after.ball_y == before.ball_y:
            return  # neither falls nor rises: it goes on as before
        is_falling = after.ball_y > before.ball_y
        if self._was_falling and not is_falling and before.ball_y > _PADDLE_ROW:
            self.n_returns += 1
            self._rally += 1
            self.longest_rally = max(self.longest_rally, self._rally)
        if is_falling and after.ball_y > _MIDDLE_ROW:
            self.distances.append(abs(after.ball_x - after.paddle_x))
        self._was_falling = is_falling


class BreakoutWatch(gym.Wrapper[Any, Any, Any, Any]):
    """Watches every frame; it stands around the emulator, beneath all other wrappers.

    ``state`` is the last frame, ``games`` has the statistics of each game that was begun by a
    reset with a seed. Whatever is played after its end is not counted: a wrapper outside can start
    the next game unseen, inside a reset that presses FIRE.

    :param env: Breakout, one frame a step.
    :raises ValueError: if it is another game, or plays several frames a step.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        if frames_per_step(env) != 1:
            raise ValueError(
                f"BreakoutWatch must see every frame, but {env} plays {frames_per_step(env)} a"
                " step: take BreakoutNoFrameskip-v4, and put it beneath ActionRepeat"
            )
        super().__init__(env)
        self.state = read_state(env)
        self.games: list[GameStatistics] = []
        self.is_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset; count from here if there is a seed."""
        obs, info = self.env.reset(seed=seed, options=options)
        self.state = read_state(self.env)
        if seed is not None:
            self.games.append(GameStatistics())
            self.is_over = False
        return obs, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Play one frame, and count."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        before, self.state = self.state, read_state(self.env)
        if not self.is_over:
            self.games[-1].add(before, self.state, reward=float(reward))
            self.games[-1].was_capped = truncated and not terminated
            self.is_over = terminated or truncated
        return obs, reward, terminated, truncated, info


class _AgentSteps(gym.Wrapper[Any, Any, Any, Any]):
    """Counts how lives begin; outermost, so that a step is one of the agent's.

    :param env: with a :class:`BreakoutWatch` inside.
    :param watch: that one.
    """

    def __init__(self, env: gym.Env[Any, Any], watch: BreakoutWatch) -> None:
        super().__init__(env)
        self.watch = watch
        self.waits: list[int | None] = []
        self._n_waited = 0

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step; note whether a ball came into play."""
        was_waiting, game = not self.watch.state.ball_in_play, self.watch.games[-1]
        n_balls = game.n_balls
        result = self.env.step(action)
        if game.n_balls > n_balls:  # FIRE can lose a ball and begin the next one in the same step
            self.waits.append(self._n_waited)
            self._n_waited = 0
        elif was_waiting:
            self._n_waited += 1
        if self._n_waited and self.watch.is_over:
            self.waits.append(None)
            self._n_waited = 0
        return result


@dataclass(frozen=True)
class WatchReport:
    """What :func:`watch_games` saw.

    Shares are 0 to 1. What cannot be known is None, such as the share of bricks hit from above if
    none was hit.

    :param games: the statistics of each game, in order.
    :param waits: for each life, the agent steps without a ball before the agent pressed FIRE, None
        if the game was cut off before that; empty if FIRE was forced.
    :param protocol: how they were played, name -> value.
    """

    games: tuple[GameStatistics, ...]
    waits: tuple[int | None, ...]
    protocol: dict[str, Any]

    @property
    def scores(self) -> tuple[float, ...]:
        """True score of each game."""
        return tuple(game.score for game in self.games)

    @property
    def score(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))

    @property
    def fired_share(self) -> float | None:
        """Share of lives that the agent began by its own FIRE; None if FIRE was forced."""
        return _mean([wait is not None for wait in self.waits])

    @property
    def wait(self) -> float | None:
        """Mean number of agent steps before the agent's own FIRE."""
        return _mean([wait for wait in self.waits if wait is not None])

    @property
    def distance(self) -> float | None:
        """Mean distance of paddle and ball in pixels while it falls in the lower half."""
        return _mean([pixels for game in self.games for pixels in game.distances])

    @property
    def bricks(self) -> float:
        """Mean number of bricks a game."""
        return float(np.mean([game.n_bricks for game in self.games]))

    @property
    def from_above_share(self) -> float | None:
        """Share of bricks that a falling ball hit."""
        n_bricks = sum(game.n_bricks for game in self.games)
        return sum(game.n_from_above for game in self.games) / n_bricks if n_bricks else None

    @property
    def longest_rally(self) -> int:
        """Most returns in one life, of all games."""
        return max(game.longest_rally for game in self.games)

    @property
    def n_capped(self) -> int:
        """Games that were cut off."""
        return sum(game.was_capped for game in self.games)

    def __str__(self) -> str:
        def show(value: float | None, form: str) -> str:
            return "-" if value is None else format(value, form)

        n_games = len(self.games)
        return "\n".join(
            [
                f"Breakout: {self.score:.2f} +- {np.std(self.scores):.2f}"
                f" (mean +- SD of {n_games} games)",
                f"lives begun by its own FIRE: {show(self.fired_share, '.0%')} of"
                f" {len(self.waits)}, after {show(self.wait, '.1f')} steps on average"
                + ("" if self.waits else " (FIRE is forced)"),
                f"distance to the ball: {show(self.distance, '.1f')} pixels (mean, while it falls"
                " in the lower half)",
                f"bricks: {self.bricks:.1f} a game,"
                f" {show(self.from_above_share, '.1%')} from above",
                f"longest rally: {self.longest_rally} returns",
                f"cut off: {self.n_capped} of {n_games} games",
                "protocol: " + ", ".join(f"{k} {v}" for k, v in self.protocol.items()),
            ]
        )


def _mean(values: list[Any]) -> float | None:
    """Return the mean, None of nothing."""
    return float(np.mean(values)) if values else None


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
    """Play whole games of Breakout with :func:`.evaluate_games`, and count what the player does.

    :param model: an SB3 model, or anything with its ``predict``.
    :param n_games: number of games, at least 1.
    :param seed: decides the no-op starts and the random actions.
    :param epsilon: probability of a random action, 0 to 1. 0 shows the agent alone, but only four
        different games of it: the first ball depends on the number of no-ops modulo 4.
    :param forced_fire: press FIRE at the start of each life (``fire_on_reset`` of
        :func:`wrap_atari`); False shows whether the agent has learned to, with ``epsilon=0``, since
        a random action can be FIRE.
    :param max_frames: cap of a game in frames (18,000 are five minutes).
    :param wrapper_kwargs: for :func:`wrap_atari`, what the model was trained with: crop, shape;
        ``n_stack`` is 4 unless given.
    :param env_kwargs: for :func:`gymnasium.make`; screens are grey unless given, as in
        :func:`make_atari_env`.
    :raises ValueError: for a number out of range, for spaces that are not those of the model, for
        ``fire_on_reset`` in ``wrapper_kwargs``, for ``epsilon`` without forced FIRE.
    :raises TypeError: for a ``forced_fire`` that is not a bool, a model without ``predict``.
    """
    forced_fire = boolean("forced_fire", forced_fire)
    if "fire_on_reset" in (wrapper_kwargs or {}):
        raise ValueError("say forced_fire=... instead of fire_on_reset in wrapper_kwargs")
    if epsilon and not forced_fire:
        raise ValueError(
            f"forced_fire=False counts the agent's own FIRE, and random actions fire too: epsilon"
            f" must be 0, got {epsilon!r}"
        )
    settings = {"n_stack": 4, **(wrapper_kwargs or {}), "fire_on_reset": forced_fire}
    watched: list[_AgentSteps] = []

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        watch = BreakoutWatch(env)
        watched.append(_AgentSteps(wrap_atari(watch, **settings), watch))
        return watched[-1]

    report = evaluate_games(
        model,
        "BreakoutNoFrameskip-v4",
        n_games=n_games,
        seed=seed,
        epsilon=epsilon,
        max_frames=max_frames,
        env_wrapper=wrap,
        env_kwargs=env_kwargs,
        random_play=False,
        n_envs=1,  # one watch for all games, in their order
    )
    steps = watched[-1]
    played = {"n_games": n_games, "seed": seed, "epsilon": epsilon, "forced_fire": forced_fire}
    return WatchReport(
        games=tuple(steps.watch.games),
        waits=() if forced_fire else tuple(steps.waits),
        protocol=played | report.protocol,
    )


def q_values_of(model: BaseAlgorithm, observation: NDArray[Any]) -> NDArray[np.float32]:
    """Return a model's Q-values: the discounted return that it expects from each action.

    :param model: SB3's DQN, FastDQN, or sb3-contrib's QR-DQN, whose quantiles are averaged.
    :param observation: one as the environment shows it, (h, w, n_stack) or (n_stack, h, w) for
        images, or a batch of them.
    :return: (n_actions,) float32, or (B, n_actions).
    :raises TypeError: for another kind of model.
    """
    if not isinstance(model, (DQN, QRDQN)):
        raise TypeError(f"only DQN, FastDQN and QRDQN have Q-values here, got {model!r}")
    model.policy.set_training_mode(False)
    tensor, is_batch = model.policy.obs_to_tensor(np.asarray(observation))
    with th.no_grad():
        if isinstance(model, QRDQN):
            values = model.quantile_net(tensor).mean(dim=1)  # (B, n_quantiles, n_actions)
        else:
            values = model.q_net(tensor)
    q_values: NDArray[np.float32] = values.cpu().numpy()
    return q_values if is_batch else q_values[0]


def draw_q_values(
    frame: NDArray[np.uint8],
    q_values: Sequence[float] | NDArray[Any],
    names: Sequence[str],
    *,
    chosen: int | None = None,
    limits: tuple[float, float] | None = None,
    scale: int = 3,
) -> NDArray[np.uint8]:
    """Draw the Q-values as labelled bars to the right of an enlarged screen.

    Bars begin at 0, to the left if they are negative.

    :param frame: (H, W, 3) uint8 RGB.
    :param q_values: (n_actions,).
    :param names: of the actions, as ``get_action_meanings`` returns them.
    :param chosen: the action taken, which is drawn in another colour.
    :param limits: Q-values at the left and right end of the bars, 0 between them or at an end; pass
        the same ones through a whole game, so that bars can be compared. Values beyond are cut off
        at the end, their number is still right. None: those of ``q_values``.
    :param scale: each pixel of the screen becomes so many pixels wide and high.
    :return: (H * scale, W * scale + 240, 3) uint8, a new array.
    :raises ValueError: for what does not fit together: number of names, limits, frame.
    """
    values = np.asarray(q_values, dtype=np.float64)
    integer_at_least(1, "scale", scale)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(
            f"frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}: make the game with"
            " render_mode='rgb_array' and pass what env.render() returns"
        )
    if values.shape != (len(names),) or not len(names) or not np.isfinite(values).all():
        raise ValueError(f"one finite Q-value for each of {len(names)} actions, got {values}")
    low, high = limits or (min(0.0, values.min()), max(0.0, values.max()) or 1.0)
    if not -np.inf < low <= 0 <= high < np.inf or low == high:
        raise ValueError(f"limits must be (low, high) with low <= 0 <= high, got {(low, high)}")

    height, width = frame.shape[0] * scale, frame.shape[1] * scale
    canvas = np.full((height, width + _PANEL_WIDTH, 3), _BACK, np.uint8)
    canvas[:, :width] = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    left, right = width + _MARGIN, width + _PANEL_WIDTH - _MARGIN
    row = min(_MOST_ROW, height // len(values))
    font, size = cv2.FONT_HERSHEY_SIMPLEX, min(0.6, row / 72)  # a letter is 22 pixels high at 1
    top = (height - row * len(values)) // 2
    for action, (name, value) in enumerate(zip(names, values, strict=True)):
        upper, lower = top + row // 2 + 2, top + row - 4  # of the bar; the text is above it
        zero, end = np.interp([0.0, value], (low, high), (left, right)).round().astype(int)
        canvas[(upper + lower) // 2, left:right] = _DIM
        color = _CHOSEN_BAR if action == chosen else _BAR
        canvas[upper:lower, min(zero, end) : max(zero, end)] = color
        canvas[upper - 2 : lower + 2, zero] = _TEXT
        text = f"{value:.2f}"
        text_left = right - cv2.getTextSize(text, font, size, 1)[0][0]
        for words, column in ((name, left), (text, text_left)):
            place = (column, top + row // 2 - 3)
            cv2.putText(canvas, words, place, font, size, _TEXT, 1, cv2.LINE_AA)
        top += row
    return canvas
