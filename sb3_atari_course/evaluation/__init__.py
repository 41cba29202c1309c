"""Evaluation of agents on full games with unclipped rewards.

- ``games.py``: ``evaluate_games`` and its report
- ``protocol.py``: score keeping, and the protocol as read from the environment
- ``side_by_side.py``: the loop that plays several games at once
- ``player.py``: a model as a player (observations as in training, recurrent state)
"""

from sb3_atari_course._common import MAX_FRAMES, N_ENVS
from sb3_atari_course.evaluation.games import (
    NOOP_MAX,
    GamesReport,
    evaluate_games,
)
from sb3_atari_course.evaluation.side_by_side import play_game

__all__ = ["MAX_FRAMES", "NOOP_MAX", "N_ENVS", "GamesReport", "evaluate_games", "play_game"]
