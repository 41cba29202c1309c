"""What a training returned and reported of its games."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.judging import WrongError
from sb3_atari_course.course.exercises.recorded_training import RecordedTraining


def check_games(training: RecordedTraining) -> None:
    """Check the games that a training returned, and those that it reported.

    :param training: of twelve games.
    :raises WrongError: for the first field that is wrong.
    """
    training.check_number_of_games()
    played = training.played_games
    rewards = [[step.reward for step in game] for game in played]
    scores = [sum(game) for game in rewards]
    lengths = np.array([len(game) for game in played])
    totals = np.cumsum(lengths)
    _check_field(
        training,
        "score",
        scores,
        {
            "the rewards are clipped; the score is the sum of the real ones": [
                float(np.sign(game).sum()) for game in rewards
            ],
            "that is the number of steps": lengths,
            "it continues from game to game; it starts at 0 in each": np.cumsum(scores),
            "that is the last reward only; add all": [game[-1] for game in rewards],
            "the last reward is missing": [sum(game[:-1]) for game in rewards],
            "rewards are discounted; a score is the plain sum": [
                float(np.dot(game, 0.87 ** np.arange(len(game)))) for game in rewards
            ],
        },
    )
    _check_field(
        training, "steps", lengths, {"that is the number since the training began": totals}
    )
    _check_field(
        training,
        "total_steps",
        totals,
        {
            "the steps that fill the replay buffer do not count": totals + 30,
            "the steps of the game itself are missing": totals - lengths,
            "those are the steps of the game alone": lengths,
        },
    )
    numbers = np.arange(12)
    _check_field(training, "number", numbers, {"the first game is 0": numbers + 1})
    _check_average(training, scores)
    _check_reports(training, totals + 30)


def _check_field(
    training: RecordedTraining, field: str, expected: Any, mistakes: dict[str, Any]
) -> None:
    """Compare a field of the returned games with what is right, and with known mistakes."""
    found = [round(float(getattr(game, field)), 4) for game in training.games]
    if not np.allclose(found, expected):
        hints = (f": {what}" for what, values in mistakes.items() if np.allclose(found, values))
        raise WrongError(
            f"the first games have {field} {np.asarray(expected)[:5].tolist()}, Game.{field} says"
            f" {found[:5]}{next(hints, '')}"
        )


def _check_average(training: RecordedTraining, scores: list[float]) -> None:
    """Check the averages; those of the first games may be nan, before a window is complete."""
    found = np.array([float(game.average) for game in training.games])

    def means(window: int) -> NDArray[Any]:
        return np.array([np.mean(scores[max(0, i + 1 - window) : i + 1]) for i in range(12)])

    mistakes = {
        "that is the mean of all games, not of the last 5 (window)": means(12),
        "the newest game is missing": np.array([0.0, *means(5)[:-1]]),
        "that is the score of this game alone": means(1),
        "for the first games divide by their number, not by window": np.array(
            [sum(scores[max(0, i - 4) : i + 1]) / 5 for i in range(12)]
        ),
        "that is the best of the last 5; take their mean": np.array(
            [max(scores[max(0, i - 4) : i + 1]) for i in range(12)]
        ),
        "that is their sum; divide by their number": means(5) * np.minimum(np.arange(12) + 1, 5),
        **{f"that is the mean of {n} games, window is 5": means(n) for n in (4, 6, 10)},
    }
    is_right = np.isclose(found, means(5)) | (np.isnan(found) & (np.arange(12) < 4))
    if not is_right.all():
        i = int(np.argmin(is_right))
        hints = (f": {what}" for what, v in mistakes.items() if np.allclose(found[1:], v[1:]))
        raise WrongError(
            f"after game {i} the mean of the last 5 games is {means(5)[i]:.2f}, Game.average"
            f" says {found[i]:.2f}{next(hints, '')}"
        )


def _check_reports(training: RecordedTraining, ends: NDArray[Any]) -> None:
    """Check that each game was given to report when it was over, and no other."""
    reports = training.reports
    if len(reports) != 12:
        raise WrongError(
            f"report was called {len(reports)} times in a training of 12 games: call"
            " report(games[-1]) after each game"
        )
    if any(float(game.number) != i for i, (game, _) in enumerate(reports)):
        raise WrongError(
            f"report got the games {[game.number for game, _ in reports[:4]]}, ...: it gets the"
            " game that is just over, games[-1]"
        )
    if [n_steps for _, n_steps in reports] != ends.tolist():
        raise WrongError(
            "report was not called when a game was over, but after"
            f" {[n for _, n in reports[:3]]} steps, games ended after {ends[:3].tolist()}: call"
            " it after each game, not at the end"
        )
