"""Evaluation: whole games (``games``), protocol and score keeper, player of a model."""

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course.evaluation.games import (
    NOOP_MAX,
    GamesReport,
    evaluate_games,
    play_game,
)

__all__ = ["MAX_FRAMES", "NOOP_MAX", "GamesReport", "evaluate_games", "play_game"]
