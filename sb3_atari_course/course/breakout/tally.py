"""What one game of Breakout shows of its player, counted from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sb3_atari_course.course.breakout.state import BreakoutState

#: The rows below this one are the lower half of the screen.
MIDDLE_ROW = 105

#: A ball that turns upwards below this row was returned by the paddle (rows 189 to 192).
_PADDLE_ROW = 170


@dataclass
class GameTally:
    """Counts of one game; every frame is shown to :meth:`see` once, in order.

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

    def see(self, before: BreakoutState, after: BreakoutState, *, reward: float) -> None:
        """Count one frame.

        :param before: the frame before.
        :param after: this frame.
        :param reward: what it paid, unclipped.
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
        if is_falling and after.ball_y > MIDDLE_ROW:
            self.distances.append(abs(after.ball_x - after.paddle_x))
        self._was_falling = is_falling
