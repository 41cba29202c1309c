"""Exercise 4, ``atari_training``: the training loop on screens: pictures, stacks, bytes."""

from __future__ import annotations

from functools import partial
from typing import Any

from sb3_atari_course.course.exercises.base import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.loop_checks import (
    check_best_actions,
    check_epsilon_falls,
    check_epsilon_used,
    check_games,
    check_random_actions,
    check_stop,
    check_target_copies,
    check_updates,
)
from sb3_atari_course.course.exercises.screen_world import (
    CROP,
    SHAPE,
    ScreenWorld,
    best_actions,
    check_remembered,
    grey_inside,
)
from sb3_atari_course.course.exercises.training_log import PREFILL, Training
from sb3_atari_course.course.exercises.worlds import WatchedWorld

_N_STACK = 4


def _train(solution: Solution, world: WatchedWorld | None = None, **changes: Any) -> Training:
    """Let the student's loop play, in a ScreenWorld unless told otherwise."""
    settings = {"n_episodes": 12, "crop": CROP, "shape": SHAPE, "n_stack": _N_STACK, **changes}
    return Training(
        solution,
        world or ScreenWorld(),
        loop="train_atari",
        update="atari_update",
        best_actions=best_actions,
        **settings,
    )


def memory_is_filled_first(solution: Solution) -> None:
    """The memory is filled by random steps; from then on there is an update every update_every."""
    check_updates(_train(solution).updates, prefill=PREFILL, every=2, name="atari_update")


def games_are_played_whole(solution: Solution) -> None:
    """Each game lasts until the world or max_steps ends it; scores are the true ones."""
    check_games(partial(_train, solution), ScreenWorld((10_000,)))


def stacks_are_right(solution: Solution) -> None:
    """What is remembered are stacks of the last pictures, bytes, and the reward's sign."""
    for world in (ScreenWorld(), ScreenWorld(time_limit=9)):
        training = _train(solution, world, n_episodes=10, memory_size=60)
        for update in training.updates:
            log = training.world.log[: update.n_steps]
            check_remembered(log, update.batch, n_stack=_N_STACK, memory_size=60)


def n_stack_is_an_argument(solution: Solution) -> None:
    """With n_stack=3 it stacks three pictures."""
    try:
        training = _train(solution, n_episodes=6, memory_size=60, n_stack=3)
    except WrongError:
        raise
    except Exception as error:
        raise WrongError(f"with n_stack=3 your code raised {error!r}: pass n_stack on") from None
    for update in training.updates:
        log = training.world.log[: update.n_steps]
        check_remembered(log, update.batch, n_stack=3, memory_size=60)


def pixels_are_scaled(solution: Solution) -> None:
    """The network gets pixels in 0..1, and with epsilon 0 its best action is taken."""
    training = _train(solution, max_epsilon=0.0, min_epsilon=0.0)
    if training.q_net.largest_input > 1:
        raise WrongError(
            f"q_net was asked about a stack with the value {training.q_net.largest_input:g}: divide"
            " the bytes by 255 before"
        )
    greys = [grey_inside(step.state) for step in training.played_steps]
    check_best_actions(training, [grey % 3 for grey in greys])


def epsilon_is_used(solution: Solution) -> None:
    """Once epsilon has fallen to 0, actions are no longer random."""
    training = _train(solution, n_episodes=25, max_epsilon=1.0, min_epsilon=0.0, epsilon_decay=0.01)
    greys = [grey_inside(step.state) for step in training.played_steps]
    check_epsilon_used(training, [grey % 3 for grey in greys])


def memory_forgets(solution: Solution) -> None:
    """The memory holds the newest memory_size transitions, and no older ones."""
    training = _train(solution, n_episodes=11, memory_size=40)
    moments = {grey_inside(step.state): i for i, step in enumerate(training.world.log)}
    for update in training.updates:
        newest = update.batch.states[:, -1, 0, 0].tolist()
        ages = [update.n_steps - moments[grey] for grey in newest if grey in moments]
        age = max(ages, default=0)
        if age > 41:
            raise WrongError(
                f"with memory_size=40 a transition of {age} steps ago was learned from: a deque"
                " with maxlen forgets by itself"
            )


def epsilon_falls_per_step(solution: Solution) -> None:
    """Epsilon falls in a straight line, once for every step of the training."""
    check_epsilon_falls(partial(_train, solution))


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, and so are those that fill the memory."""
    check_random_actions(_train(solution, n_episodes=60, prefill=600))


def target_is_copied(solution: Solution) -> None:
    """The target network gets the weights of the other every copy_every steps, no sooner."""
    check_target_copies(_train(solution, n_episodes=20).updates, every=10)


def training_stops(solution: Solution) -> None:
    """The training stops when the mean of the last games reaches stop_at."""
    check_stop(partial(_train, solution))


ATARI_TRAINING = Exercise(
    name="atari_training",
    lesson="lesson4_breakout",
    functions=("train_atari",),
    given=("atari_update",),
    properties=(
        memory_is_filled_first,
        games_are_played_whole,
        memory_forgets,
        stacks_are_right,
        n_stack_is_an_argument,
        pixels_are_scaled,
        epsilon_falls_per_step,
        random_actions_at_epsilon_one,
        epsilon_is_used,
        target_is_copied,
        training_stops,
    ),
)
