"""Exercise 2b, ``dqn_training``: the loop around the update, from the filled memory to the stop."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from sb3_atari_course.course.exercises.base import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.counting_world import (
    CountingWorld,
    best_actions,
    check_transitions,
)
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
from sb3_atari_course.course.exercises.training_log import PREFILL, Training
from sb3_atari_course.course.exercises.worlds import CorridorWorld, WatchedWorld


def _train(solution: Solution, world: WatchedWorld | None = None, **changes: Any) -> Training:
    """Let the student's loop play, in a CountingWorld unless told otherwise."""
    return Training(
        solution,
        world or CountingWorld(),
        loop="train_dqn",
        update="dqn_update",
        best_actions=best_actions,
        loss_function=nn.functional.smooth_l1_loss,
        **changes,
    )


def memory_is_filled_first(solution: Solution) -> None:
    """The memory is filled by random steps; from then on there is an update every update_every."""
    training = _train(solution)
    check_updates(training.updates, prefill=PREFILL, every=2, name="dqn_update")


def games_are_played_whole(solution: Solution) -> None:
    """Each game begins with a reset and lasts until the world or max_steps ends it."""
    check_games(partial(_train, solution), CountingWorld((10_000,)))


def memory_holds_what_happened(solution: Solution) -> None:
    """What is learned from are transitions that really were."""
    training = _train(solution, CountingWorld(time_limit=8))
    for update in training.updates:
        check_transitions(training.world.log, update.batch)


def memory_forgets(solution: Solution) -> None:
    """The memory holds the newest memory_size transitions, and no older ones."""
    training = _train(solution, memory_size=40, n_episodes=60)
    number = {(s.state[0], s.state[1]): i for i, s in enumerate(training.world.log)}
    for update in training.updates:
        oldest = min(number[(s[0], s[1])] for s in np.asarray(update.batch.states))
        age = update.n_steps - oldest
        if age > 41:
            raise WrongError(
                f"with memory_size=40 a transition of {age} steps ago was learned from: a deque"
                " with maxlen forgets by itself"
            )


def epsilon_falls_per_step(solution: Solution) -> None:
    """Epsilon falls in a straight line, once for every step of the training."""
    check_epsilon_falls(partial(_train, solution))


def best_actions_at_epsilon_zero(solution: Solution) -> None:
    """With epsilon 0 every action after the filling is the network's best."""
    training = _train(solution, max_epsilon=0.0, min_epsilon=0.0)
    states = np.array([step.state for step in training.played_steps])
    check_best_actions(training, best_actions(torch.as_tensor(states)).tolist())


def epsilon_is_used(solution: Solution) -> None:
    """Once epsilon has fallen to 0, actions are no longer random."""
    training = _train(solution, max_epsilon=1.0, min_epsilon=0.0, epsilon_decay=0.01)
    states = np.array([step.state for step in training.played_steps])
    check_epsilon_used(training, best_actions(torch.as_tensor(states)).tolist())


def random_actions_at_epsilon_one(solution: Solution) -> None:
    """With epsilon 1 every action is random, and so are those that fill the memory."""
    check_random_actions(_train(solution, n_episodes=100, prefill=700))


def target_is_copied(solution: Solution) -> None:
    """The target network gets the weights of the other every copy_every steps, no sooner."""
    check_target_copies(_train(solution, n_episodes=60).updates, every=10)


def training_stops(solution: Solution) -> None:
    """The training stops when the mean of the last games reaches stop_at."""
    check_stop(partial(_train, solution))


def corridor_is_learned(solution: Solution) -> None:
    """With your own dqn_update it learns to walk down a corridor."""
    world = CorridorWorld(8)
    torch.manual_seed(0)
    q_net, target_net = (
        nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)) for _ in range(2)
    )
    solution.train_dqn(
        world,
        q_net,
        target_net,
        torch.optim.Adam(q_net.parameters(), lr=0.005),
        n_episodes=120,
        max_steps=60,
        memory_size=5000,
        prefill=300,
        batch_size=32,
        update_every=2,
        copy_every=50,
        max_epsilon=1.0,
        min_epsilon=0.1,
        epsilon_decay=0.001,
        gamma=0.9,
        loss_function=nn.functional.smooth_l1_loss,
        window=10,
        stop_at=None,
        rng=np.random.default_rng(0),
    )
    with torch.no_grad():
        best = q_net(torch.eye(8)[:-1]).argmax(dim=1).tolist()
    if best != [1] * 7:
        raise WrongError(
            f"after 120 games the best actions along the corridor are {best}, 1 leads to the reward"
        )


DQN_TRAINING = Exercise(
    name="dqn_training",
    lesson="lesson2_cartpole",
    functions=("train_dqn",),
    given=("dqn_update",),
    properties=(
        memory_is_filled_first,
        games_are_played_whole,
        memory_holds_what_happened,
        memory_forgets,
        epsilon_falls_per_step,
        best_actions_at_epsilon_zero,
        random_actions_at_epsilon_one,
        epsilon_is_used,
        target_is_copied,
        training_stops,
        corridor_is_learned,
    ),
)
