"""Exercises 2b and 4: the loop around the update, from the filled memory to the stop.

A loop of the student's is run with networks that answer by rule, and every update is recorded.
``dqn_training`` plays CartPole, whose observations are vectors; ``atari_training`` a game, whose
screens become frames, stacks, bytes. What must be true of both is said once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sb3_atari_course.course.exercises.fake_envs import (
    CROP,
    MarkedEnv,
    Step,
    TableEnv,
    check_epsilons,
    check_random,
    marks_of,
)
from sb3_atari_course.course.exercises.judging import Exercise, Property, Solution, WrongError

#: Arguments of the Atari loop; height and width are not those of the lesson.
_SCREENS = {"crop": CROP, "shape": (60, 48), "n_stack": 4}

#: Action 1 leads right, 0 left; the last place has reward 1, and ends the episode.
_CORRIDOR = {
    **{(place, 0): (max(place - 1, 0), 0.0, False) for place in range(7)},
    **{(place, 1): (place + 1, float(place == 6), place == 6) for place in range(7)},
}


class RuleNet(nn.Module):
    """A network whose best action in a :class:`MarkedEnv` is (newest mark + shift) % 3."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.shift = shift
        #: Number of updates that made it what it is.
        self.version = nn.Parameter(torch.zeros(1))
        self.largest_input = 0.0

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return values (B, 3), 1 for the best and 0 for the others; or (3,) for one observation.

        :param observations: (B, 4), or stacks (B, n_stack, height, width) in 0..1.
        """
        if observations.ndim in (1, 3):
            return self.forward(observations[None])[0]
        self.largest_input = max(self.largest_input, float(observations.max()))
        if observations.ndim == 4:
            marks = observations[:, -1, 0, 0] * 255 - 1
        else:
            marks = observations[:, 0] * 100
        actions = (marks.round().long() + self.shift) % 3
        return nn.functional.one_hot(actions, 3) + 0 * self.version


@dataclass(frozen=True)
class Update:
    """One call of the update function.

    :param n_steps: steps that the environment had been played before it.
    :param target_version: number of updates that made the target network.
    :param target_is_online: whether both networks were the same object.
    :param batch: what it was to learn from.
    """

    n_steps: int
    target_version: int
    target_is_online: bool
    batch: Any


def training_settings(**changes: Any) -> dict[str, Any]:
    """Return arguments of a short training without an end of its exploring.

    :param changes: of these, and more of them.
    """
    return {
        "n_episodes": 15,
        "max_steps": 50,
        "memory_size": 1000,
        "prefill": 30,
        "batch_size": 16,
        "update_every": 2,
        "copy_every": 10,
        "max_epsilon": 1.0,
        "min_epsilon": 1.0,
        "epsilon_decay": 0.0,
        "gamma": 0.9,
        "window": 5,
        "stop_at": None,
        "rng": np.random.default_rng(0),
        **changes,
    }


class RecordedTraining:
    """A training by the student's loop, and what was recorded of it.

    :param solution: the student's code.
    :param loop: which of its functions trains.
    :param env: in which it plays; default: one of the loop's kind, without a time limit.
    :param changes: of :func:`training_settings`.
    :raises WrongError: if no list is returned.
    """

    def __init__(
        self, solution: Solution, loop: TrainingLoop, env: MarkedEnv | None = None, **changes: Any
    ) -> None:
        self.env = env or MarkedEnv(screens=loop.screens)
        self.q_net, target_net = RuleNet(), RuleNet(shift=1)
        self.updates: list[Update] = []
        setattr(solution, loop.update, self._record)
        self.settings = training_settings(**{**loop.settings, **changes})
        optimizer = torch.optim.SGD(self.q_net.parameters(), lr=0.1)
        train = getattr(solution, loop.function)
        self.games = train(self.env, self.q_net, target_net, optimizer, **self.settings)
        if not isinstance(self.games, list):
            raise WrongError(
                f"{loop.function} returns a list, a Game for each game, got"
                f" {type(self.games).__name__}"
            )

    def _record(
        self, q_net: Any, target_net: Any, optimizer: Any, batch: Any, *_: Any, **__: Any
    ) -> float:
        """Record a call of the update function, and make the online network a version newer."""
        if len(batch.actions) != self.settings["batch_size"]:
            raise WrongError(
                f"a batch has {len(batch.actions)} transitions, batch_size is"
                f" {self.settings['batch_size']}"
            )
        version = int(target_net.version.item())
        self.updates.append(Update(len(self.env.log), version, target_net is q_net, batch))
        with torch.no_grad():
            q_net.version += 1
        return 0.0

    @property
    def played_steps(self) -> list[Step]:
        """The steps after those that fill the memory."""
        return self.env.log[self.settings["prefill"] :]

    @property
    def are_best(self) -> list[bool]:
        """Whether each of these steps took the network's best action."""
        return [step.action == step.state % 3 for step in self.played_steps]

    @property
    def played_games(self) -> list[list[Step]]:
        """The same steps, game by game."""
        return [list(game) for _, game in groupby(self.played_steps, lambda step: step.episode)]

    def check_memory(self) -> None:
        """Check that what was learned from really happened, and is remembered as it was seen.

        :raises WrongError: for the first transition that is wrong.
        """
        for update in self.updates:
            batch = update.batch
            for name in ("states", "next_states"):
                self._check_kind(name, getattr(batch, name))
            rows = (batch.actions.tolist(), batch.rewards.tolist(), batch.ended.tolist())
            states, next_states = batch.states.numpy(), batch.next_states.numpy()
            for state, after, *row in zip(states, next_states, *rows, strict=True):
                step = self._check_marks(update.n_steps, marks_of(state), marks_of(after))
                self._check_step(step, *row)

    def _check_kind(self, name: str, observations: torch.Tensor) -> None:
        """Check that screens are remembered as bytes, and stacked as the arguments say."""
        if not self.env.screens:
            return
        if observations.dtype != torch.uint8:
            raise WrongError(
                f"the memory holds {observations.dtype}: keep bytes (uint8), floats need four times"
                " as much; they are divided by 255 when the network needs them"
            )
        found = tuple(observations.shape[1:])
        expected = (self.settings["n_stack"], *self.settings["shape"])
        if found != expected:
            raise WrongError(
                f"{name} of a batch have the shape (B, *{found}), not (B, *{expected}): n_stack,"
                " shape and crop are arguments"
            )

    def _check_marks(self, n_steps: int, seen: list[int], later: list[int]) -> Step:
        """Check the marks of a remembered state and its next state; return the step between."""
        if seen == later:
            raise WrongError(
                f"state and next_state of a transition are the same, {_show(seen)}: next_state is"
                " the old state, or is it changed in place? Make a new array for each step"
            )
        oldest = max(0, n_steps - self.settings["memory_size"] - 1)
        moments = {self.env.log[i].state: i for i in range(oldest, n_steps)}
        if seen[-1] not in moments:
            if seen[-1] in {step.state for step in self.env.log[:oldest]}:
                raise WrongError(
                    f"with memory_size={self.settings['memory_size']} an older transition was"
                    " learned from: a deque with maxlen forgets by itself"
                )
            raise WrongError(
                f"a remembered state, {_show(seen)}, was never the newest when a step was made: the"
                " newest frame comes last, and state is what was seen before the step"
            )
        step = self.env.log[moments[seen[-1]]]
        ages = range(len(seen) - 1, -1, -1)
        expected = [step.state - min(age, step.state % 20) for age in ages]  # back to its reset
        if seen != expected:
            raise WrongError(
                f"a remembered stack is {_show(seen)}, expected {_show(expected)}:"
                f" {_stack_hint(seen, expected)}"
            )
        expected = [*expected[1:], step.next_state]
        if later != expected:
            raise WrongError(
                f"the step after {_show(seen)} led to {_show(expected)}, remembered is"
                f" {_show(later)}: state must become next_state after each step, and the next"
                " stack is this one without its oldest frame"
            )
        return step

    def _check_step(self, step: Step, action: int, reward: float, ended: float) -> None:
        """Check what is remembered of a step besides its states."""
        paid = float(np.sign(step.reward)) if self.env.screens else step.reward
        if (action, round(reward, 4)) != (step.action, paid):
            hint = " (the agent learns from its sign)" if self.env.screens else ""
            raise WrongError(
                f"action {action}, reward {reward:g} are remembered of a step with action"
                f" {step.action}, reward {paid:g}{hint}"
            )
        if bool(ended) != step.terminated:
            hint = ": the clock cut it off (truncated), that is no end" if step.truncated else ""
            raise WrongError(
                f"a step is remembered with ended={ended}, terminated was {step.terminated}{hint}"
            )


def _show(marks: list[int]) -> str:
    """Return where marks come from, as text."""
    return ", ".join(f"(game {mark // 20}, step {mark % 20})" for mark in marks)


def _stack_hint(seen: list[int], expected: list[int]) -> str:
    if seen == expected[::-1]:
        return "the newest frame comes last"
    if len(set(seen)) == 1:
        return "the same frame again and again; add each new one to the stack"
    return "a new game begins with a new stack, its first frame n_stack times"


@dataclass(frozen=True)
class TrainingLoop:
    """What must be true of a training loop: when it learns, copies, explores, stops.

    :param function: name of the student's function.
    :param update: name of the update function that it calls.
    :param settings: arguments that only this loop has.
    :param screens: it sees screens.
    """

    function: str
    update: str
    settings: dict[str, Any]
    screens: bool = False

    def train(
        self, solution: Solution, env: MarkedEnv | None = None, **changes: Any
    ) -> RecordedTraining:
        """Let the student's loop play, see :class:`RecordedTraining`."""
        return RecordedTraining(solution, self, env, **changes)

    def exercise(self, last: Property) -> Exercise:
        """Return the exercise: all properties, from the simple to the involved.

        :param last: one that only this loop has.
        """
        return Exercise(
            functions=(self.function,),
            given=(self.update,),
            properties=(
                self.memory_is_filled_first,
                self.games_are_played_whole,
                self.memory_holds_what_happened,
                self.epsilon_falls_per_step,
                self.best_actions_at_epsilon_zero,
                self.random_actions_at_epsilon_one,
                self.epsilon_is_used,
                self.target_is_copied,
                self.training_stops,
                last,
            ),
        )

    def memory_is_filled_first(self, solution: Solution) -> None:
        """The memory is filled at random, then there is an update every update_every steps."""
        moments = [update.n_steps for update in self.train(solution).updates]
        if len(moments) < 3:
            raise WrongError(f"{self.update} was called {len(moments)} times in a whole training")
        if not 30 <= moments[0] <= 33:
            raise WrongError(
                f"the first update came after {moments[0]} steps: the memory must be filled with"
                " 30 random steps before, and no more"
            )
        gaps = np.diff(moments)
        if np.any(gaps != 2):
            raise WrongError(
                "an update is due every 2 steps, counted through all games; the first ones came"
                f" {gaps[:5].tolist()} steps apart"
            )

    def games_are_played_whole(self, solution: Solution) -> None:
        """Each game lasts until the environment or max_steps ends it; scores are the true ones."""
        training = self.train(solution, n_episodes=12)
        scores = [sum(step.reward for step in game) for game in training.played_games]
        if len(training.games) != 12 or len(scores) != 12:
            raise WrongError(
                f"n_episodes is 12: {len(scores)} games were played, {len(training.games)} returned"
            )
        reported = [float(game.score) for game in training.games]
        if not np.allclose(reported, scores):
            raise WrongError(f"the first scores are {scores[:4]}, Game.score says {reported[:4]}")
        endless = MarkedEnv(screens=self.screens, ends=False)
        self.train(solution, endless, n_episodes=4, max_steps=13)
        if endless.lengths[-4:] != [13] * 4:
            raise WrongError(
                f"with max_steps=13 games that never end lasted {endless.lengths[-4:]} steps"
            )

    def memory_holds_what_happened(self, solution: Solution) -> None:
        """What is learned from are transitions that really were; screens as stacks of bytes."""
        for time_limit in (None, 8):
            env = MarkedEnv(screens=self.screens, time_limit=time_limit)
            self.train(solution, env, memory_size=60).check_memory()

    def epsilon_falls_per_step(self, solution: Solution) -> None:
        """Epsilon falls in a straight line, once for every step of the training."""
        self.train(solution, n_episodes=2)  # the next training begins anew
        training = self.train(solution, max_epsilon=0.9, min_epsilon=0.1, epsilon_decay=0.01)
        before = np.cumsum([0, *map(len, training.played_games)])[:-1]
        games = np.arange(len(before))

        def line(steps: NDArray[Any]) -> NDArray[Any]:
            return np.maximum(0.1, 0.9 - 0.01 * steps)

        mistakes = {
            "off by one: it has fallen a step too far": line(before + 1),
            "off by one: it is a step behind": line(np.maximum(before - 1, 0)),
            "it falls once a game, not once a step": line(games),
            "it falls once a game, not once a step, and begins too low": line(games + 1),
            "it never falls": line(0 * before),
            "it falls below its smallest value": 0.9 - 0.01 * before,
        }
        names = [f"game {game}, after {steps} steps," for game, steps in enumerate(before)]
        check_epsilons(training.games, names, line(before), mistakes)

    def best_actions_at_epsilon_zero(self, solution: Solution) -> None:
        """With epsilon 0 every action after the filling is the network's best; it gets 0..1."""
        training = self.train(solution, max_epsilon=0.0, min_epsilon=0.0)
        largest = training.q_net.largest_input
        if self.screens and largest > 1:
            raise WrongError(f"q_net got the value {largest:g}: divide the bytes by 255 before")
        if not all(training.are_best):
            first = training.played_steps[training.are_best.index(False)]
            raise WrongError(
                f"with epsilon 0 {training.are_best.count(False)} of {len(training.are_best)}"
                f" actions are not q_net's best (argmax): one was {first.action}, the best"
                f" {first.state % 3}"
            )

    def random_actions_at_epsilon_one(self, solution: Solution) -> None:
        """With epsilon 1 every action is random, and so are those that fill the memory."""
        training = self.train(solution, n_episodes=60, prefill=600)
        filling = [step.action for step in training.env.log[:600]]
        check_random(filling, 3, "fill the memory")
        played = [step.action for step in training.played_steps]
        check_random(played, 3, "are played with epsilon 1")

    def epsilon_is_used(self, solution: Solution) -> None:
        """Once epsilon has fallen to 0, actions are no longer random."""
        settings: dict[str, Any] = {"max_epsilon": 1.0, "min_epsilon": 0.0, "epsilon_decay": 0.01}
        are_best = self.train(solution, n_episodes=25, **settings).are_best
        if all(are_best[:60]):
            raise WrongError("epsilon begins with 1, but the first 60 actions are all q_net's best")
        if not all(are_best[100:]):
            raise WrongError(
                f"after 100 steps epsilon is 0, but {are_best[100:].count(False)} of the later"
                " actions are not q_net's best: the epsilon that falls must be the one that decides"
            )

    def target_is_copied(self, solution: Solution) -> None:
        """The target network gets the weights of the other every copy_every steps, no sooner."""
        updates = self.train(solution, n_episodes=20).updates
        if any(update.target_is_online for update in updates):
            raise WrongError(
                "target_net is q_net itself: copy the weights (load_state_dict), do not assign the"
                " network"
            )
        versions = [update.target_version for update in updates]
        changes = (np.flatnonzero(np.diff(versions)) + 1).tolist()
        if len(changes) < 2:
            raise WrongError(
                f"target_net got new weights {len(changes)} times in {updates[-1].n_steps} steps;"
                " copying q_net's is due every 10"
            )
        gaps = np.diff([updates[i].n_steps for i in changes])
        if np.any(gaps != 10):
            raise WrongError(
                "target_net is due every 10 steps, counted through all games; new weights were seen"
                f" {gaps[:5].tolist()} steps apart"
            )
        age = changes[-1] - versions[changes[-1]]
        if age > 1:
            raise WrongError(
                f"target_net got weights that are {age} updates old: copy q_net's present ones"
            )

    def training_stops(self, solution: Solution) -> None:
        """The training stops when the mean of the last games reaches stop_at."""
        scores = [float(game.score) for game in self.train(solution, n_episodes=40).games]
        means = np.convolve(scores, np.ones(5) / 5, "valid")
        stop_at = float(means[15]) - 1e-6
        due = 5 + int(np.argmax(means >= stop_at))
        n_games = len(self.train(solution, n_episodes=40, stop_at=stop_at).games)
        if n_games != due:
            raise WrongError(
                f"the mean of the last 5 games reaches stop_at={stop_at:.1f} with game number"
                f" {due}, but {n_games} games were played"
            )


_CARTPOLE = TrainingLoop("train_dqn", "dqn_update", {"loss_function": nn.functional.smooth_l1_loss})
_ATARI = TrainingLoop("train_atari", "atari_update", _SCREENS, screens=True)


def corridor_is_learned(solution: Solution) -> None:
    """With your own dqn_update it learns to walk down a corridor."""
    env = TableEnv(_CORRIDOR, n_states=8, n_actions=2, one_hot=True)
    q_net, target_net = (
        nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)) for _ in range(2)
    )
    settings = training_settings(
        n_episodes=120,
        memory_size=5000,
        prefill=300,
        batch_size=32,
        copy_every=50,
        min_epsilon=0.1,
        epsilon_decay=0.001,
        loss_function=nn.functional.smooth_l1_loss,
    )
    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.005)
    solution.train_dqn(env, q_net, target_net, optimizer, **settings)
    with torch.no_grad():
        best = q_net(torch.eye(8)[:-1]).argmax(dim=1).tolist()
    if best != [1] * 7:
        raise WrongError(
            f"after 120 games the best actions along the corridor are {best}, 1 leads to the reward"
        )


def n_stack_is_an_argument(solution: Solution) -> None:
    """With n_stack=3 it stacks three frames."""
    try:
        training = _ATARI.train(solution, n_episodes=6, memory_size=60, n_stack=3)
    except WrongError:
        raise
    except Exception as error:
        raise WrongError(f"with n_stack=3 your code raised {error!r}: pass n_stack on") from None
    training.check_memory()


DQN_TRAINING = _CARTPOLE.exercise(corridor_is_learned)
ATARI_TRAINING = _ATARI.exercise(n_stack_is_an_argument)
