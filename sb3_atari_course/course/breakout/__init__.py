"""Breakout, watched: what is where on the screen, what a player does, what its network expects.

- :func:`read_state` (``state``): paddle, ball and bricks of one frame.
- :func:`watch_games`, :class:`BreakoutWatch` (``watching``): whole games, counted frame by frame
  (``tally``) and summed up (``report``).
- :func:`draw_q_values`, :func:`q_values_of` (``q_panel``): Q-values beside the screen, of any game.
"""

from sb3_atari_course.course.breakout.q_panel import draw_q_values, q_values_of
from sb3_atari_course.course.breakout.report import LifeStart, WatchReport
from sb3_atari_course.course.breakout.state import BreakoutState, read_state
from sb3_atari_course.course.breakout.tally import GameTally
from sb3_atari_course.course.breakout.watching import BreakoutWatch, watch_games

__all__ = [
    "BreakoutState",
    "BreakoutWatch",
    "GameTally",
    "LifeStart",
    "WatchReport",
    "draw_q_values",
    "q_values_of",
    "read_state",
    "watch_games",
]
