"""Evaluation of agents on full games with unclipped rewards.

- ``games.py``: ``evaluate_games`` and its report
- ``protocol.py``: score keeping, and the protocol as read from the environment
- ``player.py``: a model in one environment (observations as in training, recurrent state)
"""

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course.evaluation.games import (
    NOOP_MAX,
    GamesReport,
    evaluate_games,
    play_game,
)

__all__ = ["MAX_FRAMES", "NOOP_MAX", "GamesReport", "evaluate_games", "play_game"]
