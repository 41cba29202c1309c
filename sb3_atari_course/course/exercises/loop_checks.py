"""What must be true of any training loop of the course: when it learns, copies, explores, stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sb3_atari_course.course.exercises.base import WrongError
from sb3_atari_course.course.exercises.training_log import Training, Update
from sb3_atari_course.course.exercises.worlds import WatchedWorld

#: Lets the student's loop play: ``train(world, **settings)``; a world of its own by default.
Train = Callable[..., Training]


def check_updates(updates: Sequence[Update], *, prefill: int, every: int, name: str) -> None:
    """Check when a training learned.

    :param updates: all of them.
    :param prefill: steps that must come first.
    :param every: steps between two.
    :param name: of the update function.
    :raises WrongError: if it did not learn then.
    """
    if len(updates) < 3:
        raise WrongError(f"{name} was called {len(updates)} times in a whole training")
    first = updates[0].n_steps
    if first < prefill:
        raise WrongError(
            f"the first update came after {first} steps: the memory must be filled with {prefill}"
            " random steps before"
        )
    if first > prefill + every + 1:
        raise WrongError(
            f"{prefill} steps fill the memory, but the first update came only after {first}: is it"
            f" filled with more than {prefill}?"
        )
    gaps = np.diff([update.n_steps for update in updates])
    if np.any(gaps != every):
        raise WrongError(
            f"an update is due every {every} steps, counted through all games; the first ones came"
            f" {gaps[:5].tolist()} steps apart"
        )


def check_target_copies(updates: Sequence[Update], *, every: int) -> None:
    """Check when the target network was copied.

    :param updates: all of them.
    :param every: steps between two copies.
    :raises WrongError: if it was not copied then.
    """
    if any(update.target_is_online for update in updates):
        raise WrongError(
            "target_net is q_net itself: copy the weights (load_state_dict), do not assign the"
            " network"
        )
    versions = np.array([update.target_version for update in updates])
    changes = (np.flatnonzero(np.diff(versions)) + 1).tolist()
    if not len(changes):
        raise WrongError(
            f"target_net was never copied from q_net in {updates[-1].n_steps} steps; it is due"
            f" every {every}"
        )
    moments = np.array([updates[i].n_steps for i in changes])
    gaps = np.diff(moments)
    if np.any(gaps != every):
        raise WrongError(
            f"target_net is due every {every} steps, counted through all games; new weights were"
            f" seen {gaps[:5].tolist()} steps apart"
        )
    stale = updates[changes[-1]].target_version
    if changes[-1] - stale > 1:
        raise WrongError(
            f"after {changes[-1]} updates target_net got weights that are {changes[-1] - stale}"
            " updates old: copy q_net's present ones"
        )


def check_epsilons(
    played: Sequence[float], steps_before: Sequence[int], schedule: tuple[float, float, float]
) -> None:
    """Check the epsilon with which each game began.

    :param played: what the student's rows say.
    :param steps_before: training steps before each game.
    :param schedule: largest and smallest epsilon, and what a step takes off.
    :raises WrongError: if it does not fall in a straight line, step by step.
    """
    largest, smallest, decay = schedule

    def line(steps: Any) -> Any:
        return np.maximum(smallest, largest - decay * np.asarray(steps, float))

    before = np.asarray(steps_before)
    if np.allclose(played, line(before), atol=1e-6):
        return
    games = np.arange(len(before))
    wrong = int(np.argmax(~np.isclose(played, line(before), atol=1e-6)))
    right = line(before)[wrong]
    message = (
        f"game {wrong} begins after {before[wrong]} steps: epsilon should be {right:.4f} ="
        f" max({smallest:g}, {largest:g} - {decay:g} * {before[wrong]}), got {played[wrong]:.4f}"
    )
    for hint, steps in {
        "off by one: it has fallen a step too far": before + 1,
        "off by one: it is a step behind": np.maximum(before - 1, 0),
        "it falls once a game, not once a step": games,
        "it falls once a game, not once a step, and begins too low": games + 1,
        "it never falls": 0 * before,
    }.items():
        if np.allclose(played, line(steps), atol=1e-6):
            raise WrongError(f"{message}: {hint}")
    if min(played) < smallest - 1e-6:
        raise WrongError(f"{message}: it falls below its smallest value {smallest:g}")
    raise WrongError(message)


def check_games(train: Train, endless: WatchedWorld) -> None:
    """Check where games begin and end, and their scores.

    :param train: lets the loop play.
    :param endless: a world whose games never end.
    :raises WrongError: if a game is cut, lost or told wrong.
    """
    training = train(n_episodes=12)
    scores = training.scores()
    if len(training.games) != 12 or len(scores) != 12:
        raise WrongError(
            f"n_episodes is 12: {len(scores)} games were played, {len(training.games)} returned"
        )
    told = [float(game.score) for game in training.games]
    if not np.allclose(told, scores):
        paid = np.round(scores[:4], 2).tolist()
        raise WrongError(f"the first games paid {paid}, Game.score says {np.round(told[:4], 2)}")
    train(endless, n_episodes=4, max_steps=13)
    lengths = endless.lengths[-4:]
    if lengths != [13] * 4:
        raise WrongError(f"with max_steps=13 games that never end lasted {lengths} steps")


def check_epsilon_falls(train: Train) -> None:
    """Check the epsilon of each game.

    :param train: lets the loop play.
    :raises WrongError: if it does not fall in a straight line, step by step.
    """
    largest, smallest, decay = 0.9, 0.1, 0.01
    training = train(max_epsilon=largest, min_epsilon=smallest, epsilon_decay=decay)
    try:
        played = [float(game.epsilon) for game in training.games]
    except AttributeError as error:
        raise WrongError(f"a Game for each game is returned, but {error}") from None
    check_epsilons(played, training.first_steps(), (largest, smallest, decay))


def check_best_actions(training: Training, best: Sequence[int]) -> None:
    """Check that a training with epsilon 0 does what its network says.

    :param training: with epsilon 0.
    :param best: best action of each step after the filling.
    :raises WrongError: if another action was taken.
    """
    done = [step.action for step in training.played_steps]
    wrong = [i for i, (a, b) in enumerate(zip(done, best, strict=True)) if a != b]
    if wrong:
        first = wrong[0]
        raise WrongError(
            f"with epsilon 0 {len(wrong)} of {len(done)} actions are not q_net's best (argmax):"
            f" step {first} took {done[first]}, the best was {best[first]}"
        )


def check_random_actions(training: Training) -> None:
    """Check that a training with epsilon 1 plays at random, while it fills the memory and after.

    :param training: with epsilon 1 and three actions.
    :raises WrongError: if one action is preferred.
    """
    n_filling = training.settings["prefill"]
    for name, steps in (
        ("fill the memory", training.world.log[:n_filling]),
        ("are played with epsilon 1", training.played_steps),
    ):
        shares = np.bincount([step.action for step in steps], minlength=3) / len(steps)
        if np.any(np.abs(shares - 1 / 3) > 0.12):
            raise WrongError(
                f"the {len(steps)} steps that {name} chose the 3 actions with the shares"
                f" {shares.round(2)}: a third each is random"
            )


def check_epsilon_used(training: Training, best: Sequence[int]) -> None:
    """Check that the epsilon that falls is the one that decides.

    :param training: in which it falls from 1 to 0 within 100 steps.
    :param best: best action of each step after the filling.
    :raises WrongError: if actions are never random, or always.
    """
    equal = [
        step.action == action for step, action in zip(training.played_steps, best, strict=True)
    ]
    if all(equal[:60]):
        raise WrongError("epsilon begins with 1, but the first 60 actions are all q_net's best")
    if not all(equal[100:]):
        raise WrongError(
            f"after 100 steps epsilon is 0, but {equal[100:].count(False)} of the later actions are"
            " not q_net's best: the epsilon that falls must be the one that decides"
        )


def check_stop(train: Train) -> None:
    """Check that a training stops when the mean of the last games is high enough.

    :param train: lets the loop play, in a world whose scores rise.
    :raises WrongError: if it goes on, or stops too early.
    """
    scores = [float(game.score) for game in train(n_episodes=40).games]
    means = [np.mean(scores[i - 4 : i + 1]) for i in range(4, 40)]
    stop_at = float(means[15]) - 1e-6
    due = 5 + int(np.argmax(np.array(means) >= stop_at))
    n_games = len(train(n_episodes=40, stop_at=stop_at).games)
    if n_games != due:
        raise WrongError(
            f"the mean of the last 5 games reaches stop_at={stop_at:.1f} with game number {due},"
            f" but {n_games} games were played"
        )
