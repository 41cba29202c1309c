"""Exercises 2b and 4: the loop around the update, from the filled replay buffer to the stop.

``dqn_training`` plays CartPole, whose observations are vectors; ``atari_training`` a game, whose
screens become frames, stacks, bytes. What must be true of both is in :class:`TrainingLoop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sb3_atari_course.course.exercises.due_steps import (
    check_copies,
    check_prefill,
    check_updates,
)
from sb3_atari_course.course.exercises.fake_envs import TableEnv, check_epsilons, check_random
from sb3_atari_course.course.exercises.judging import Exercise, Property, Solution, WrongError
from sb3_atari_course.course.exercises.marked_env import CROP, MarkedEnv
from sb3_atari_course.course.exercises.recorded_training import (
    RecordedTraining,
    scaled_loss,
    seed_everything,
    training_settings,
)
from sb3_atari_course.course.exercises.replayed_steps import ReplayedSteps
from sb3_atari_course.course.exercises.returned_games import check_games

#: Action 1 leads right, 0 left; the last place has reward 1, and ends the episode.
_CORRIDOR = {
    **{(place, 0): (max(place - 1, 0), 0.0, False) for place in range(7)},
    **{(place, 1): (place + 1, float(place == 6), place == 6) for place in range(7)},
}

#: By which the rewards of each game are multiplied for :meth:`TrainingLoop.training_stops`: each
#: rule of stopping has its due at another game. The first five games fill the replay buffer.
_SCALES = (*[1] * 5, 9, 1, 1, 1, 1, 1, 2, 2, 9, 1, 3, 3, 6)


@dataclass(frozen=True)
class TrainingLoop:
    """What must be true of a training loop: when it learns, copies, explores, stops.

    :param function: name of the student's function.
    :param update: name of the update function that it calls.
    :param screens: it sees screens.
    :param n_actions: number of actions in the lesson.
    :param settings: arguments that only this loop has, with the sizes of the lesson.
    :param other_sizes: the same with other sizes.
    """

    function: str
    update: str
    screens: bool
    n_actions: int
    settings: dict[str, Any]
    other_sizes: dict[str, Any]

    def train(
        self, solution: Solution, env: dict[str, Any] | None = None, **changes: Any
    ) -> RecordedTraining:
        """Let the student's loop play, see :class:`.RecordedTraining`.

        :param solution: the student's code.
        :param env: arguments of the :class:`.MarkedEnv`.
        :param changes: of :func:`.training_settings`.
        """
        settings = training_settings(**{**self.settings, **changes})
        marked = MarkedEnv(
            screens=self.screens, **{"crop": settings.get("crop", CROP), **(env or {})}
        )
        return RecordedTraining(solution, self.function, self.update, marked, settings)

    def exercise(self, last: Property) -> Exercise:
        """Return the exercise: all properties, from the simple to the involved.

        :param last: one that only this loop has.
        """
        return Exercise(
            functions=(self.function,),
            given=(self.update,),
            properties=(
                self.arguments_reach_the_update,
                self.a_second_training_starts_over,
                self.memory_is_filled_first,
                self.games_are_played_whole,
                self.games_are_reported,
                self.memory_holds_what_happened,
                self.batches_are_random,
                self.sizes_are_arguments,
                self.epsilon_falls_per_step,
                self.best_actions_at_epsilon_zero,
                self.random_actions_at_epsilon_one,
                self.epsilon_is_used,
                self.target_is_copied,
                self.training_stops,
                last,
            ),
        )

    def arguments_reach_the_update(self, solution: Solution) -> None:
        """The update gets the networks, optimizer, batch_size and gamma that were given."""
        training = self.train(
            solution, {"n_actions": self.n_actions}, n_episodes=4, max_epsilon=0.5, min_epsilon=0.5
        )
        check_prefill(training)
        if len(training.games) != 4:
            raise WrongError(f"n_episodes is 4, {len(training.games)} games were returned")

    def a_second_training_starts_over(self, solution: Solution) -> None:
        """Called a second time it starts over, and its random numbers come from rng."""
        first, second, third = (
            self._train_repeatedly(solution, first_game=game, seed=seed)
            for game, seed in ((0, 0), (6, 0), (0, 1))
        )
        survives = "make it inside the function, not outside or as a default argument"
        if {len(first.games), len(second.games)} != {4}:
            raise WrongError(
                f"a second training of 4 games returned {len(second.games)}: the list of games of"
                f" the first one is still there; {survives}"
            )
        epsilons = [[float(game.epsilon) for game in one.games] for one in (first, second)]
        if not np.allclose(epsilons[0], epsilons[1]):
            raise WrongError(
                f"the games of a second training have epsilon {np.round(epsilons[1], 3)}, those of"
                f" the first one {np.round(epsilons[0], 3)}: a counter of steps or epsilon"
                f" survives; {survives}"
            )
        totals = [int(training.games[-1].total_steps) for training in (first, second)]
        moments = [[update.n_steps for update in one.updates] for one in (first, second)]
        if totals[0] != totals[1] or moments[0] != moments[1]:
            raise WrongError(
                f"a second training had its updates after {moments[1][:4]} steps and says"
                f" total_steps={totals[1]}, the first one after {moments[0][:4]} and {totals[0]}: a"
                f" counter or the replay buffer survives the first training; {survives}"
            )
        own = {mark for step in second.env.log for mark in (step.state, step.next_state)}
        rows = [row for update in second.updates for row in update.rows]
        n_foreign = sum(not own.issuperset({row.before[-1], row.after[-1]}) for row in rows)
        if n_foreign:
            raise WrongError(
                f"in a second training {n_foreign} of {len(rows)} transitions that were learned"
                f" from are not its own: the replay buffer of the first one survives; {survives}"
            )
        if first.random_choices() != second.random_choices():
            raise WrongError(
                "two trainings with the same rng do not play the same: random numbers come from"
                " another generator than the argument `rng`, or something survives the first"
                " training"
            )
        choices = zip(first.random_choices(), third.random_choices(), strict=True)
        for what, (one, other) in zip(("actions", "batches"), choices, strict=True):
            never_explores = what == "actions" and all(first.are_best)  # that has its own property
            if one == other and not never_explores:
                raise WrongError(
                    f"two trainings with different rng have the same {what}, so their random"
                    " numbers repeat: a generator with a fixed seed is made inside; take them from"
                    " the argument `rng`"
                )

    def _train_repeatedly(self, solution: Solution, first_game: int, seed: int) -> RecordedTraining:
        """Train as before; all that is random comes from ``seed``."""
        seed_everything(seed)
        return self.train(
            solution,
            {"n_actions": self.n_actions, "first_game": first_game},
            n_episodes=4,
            prefill=12,
            max_epsilon=0.6,
            min_epsilon=0.0,
            epsilon_decay=0.001,
            rng=np.random.default_rng(seed),
        )

    def sizes_are_arguments(self, solution: Solution) -> None:
        """Other numbers of actions and shapes of observations are taken from env and arguments."""
        n_actions, n_inputs = 5, 6
        env = {"n_actions": n_actions, "n_inputs": n_inputs}
        sizes = (
            "n_stack={n_stack}, shape={shape}, crop={crop}".format(**self.other_sizes)
            if self.screens
            else f"observations ({n_inputs},)"
        )
        try:
            training = self.train(solution, env, prefill=60, **self.other_sizes)
        except WrongError:
            raise
        except Exception as error:
            raise WrongError(
                f"with other sizes ({n_actions} actions, {sizes}) your code raised {error!r}: take"
                " them from env and the arguments, not from globals or the lesson's numbers"
            ) from None
        for what, steps in (
            ("fill the replay buffer", training.env.log[:60]),
            ("are played", training.played_steps),
        ):
            missing = set(range(n_actions)) - {step.action for step in steps}
            if missing and missing == set(range(min(missing), n_actions)):
                raise WrongError(
                    f"of {n_actions} actions the {len(steps)} random steps that {what} never chose"
                    f" {sorted(missing)}: their number is env.action_space.n, in other environments"
                    " it is not that of the lesson"
                )

    def memory_is_filled_first(self, solution: Solution) -> None:
        """The replay buffer is filled at random, then updates come every update_every steps."""
        check_updates(self.train(solution, memory_size=42))  # soon full

    def games_are_played_whole(self, solution: Solution) -> None:
        """Each game lasts until the environment or max_steps ends it."""
        self.train(solution, n_episodes=12).check_number_of_games()
        env = self.train(solution, {"ends": False}, n_episodes=4, max_steps=13).env
        filling = [length for length in env.lengths[:-4] if length > 13]
        if filling:
            raise WrongError(
                f"with max_steps=13 a game that fills the replay buffer lasted {filling[0]} steps:"
                " pass max_steps on"
            )
        if env.lengths[-4:] != [13] * 4:
            hint = {14: ": one step too many", 12: ": one step too few"}.get(env.lengths[-1], "")
            raise WrongError(
                f"with max_steps=13 games that never end lasted {env.lengths[-4:]} steps{hint}"
            )

    def games_are_reported(self, solution: Solution) -> None:
        """The returned games have the true numbers, and each is given to report when it is over."""
        check_games(self.train(solution, n_episodes=12))

    def memory_holds_what_happened(self, solution: Solution) -> None:
        """The transitions in a batch really happened, and are stored as they were seen."""
        short: dict[str, Any] = {"n_episodes": 6, "update_every": 2}
        ReplayedSteps(self.train(solution, **short)).check()
        ReplayedSteps(self.train(solution, {"time_limit": 6}, **short)).check()
        ReplayedSteps(self.train(solution, {"ends": False}, **short, max_steps=8)).check()

    def batches_are_random(self, solution: Solution) -> None:
        """Each batch is a new random choice from the whole replay buffer."""
        settings: dict[str, Any] = {"n_episodes": 7, "update_every": 1}
        training = self.train(solution, **settings, batch_size=24)
        steps = ReplayedSteps(training)
        steps.check()
        steps.check_coverage()
        steps = ReplayedSteps(self.train(solution, **settings, memory_size=30))
        steps.check()
        steps.check_choice()

    def epsilon_falls_per_step(self, solution: Solution) -> None:
        """Epsilon falls in a straight line, once for every step of the training."""
        training = self.train(solution, max_epsilon=0.9, min_epsilon=0.1, epsilon_decay=0.01)
        training.check_number_of_games()
        lengths = np.array([len(game) for game in training.played_games])
        before = np.cumsum(lengths) - lengths
        games = np.arange(len(before))

        def line(steps: NDArray[Any]) -> NDArray[Any]:
            return np.maximum(0.1, 0.9 - 0.01 * steps)

        mistakes = {
            "off by one: it has fallen a step too far": line(before + 1),
            "off by one: it is a step behind": line(np.maximum(before - 1, 0)),
            "it falls once a game, not once a step": line(games),
            "it falls once a game, not once a step, and begins too low": line(games + 1),
            "it falls with each update, not once a step": line((before + 2) // 3),
            "it never falls, or starts over in each game; count all steps": line(0 * before),
            "the steps that fill the replay buffer do not count": line(before + 30),
            "it falls below its smallest value": 0.9 - 0.01 * before,
            "that is epsilon after the game, not at its start": line(before + lengths),
            "it shrinks by a factor, not in a straight line": np.maximum(0.1, 0.9 * 0.99**before),
        }
        names = [f"game {game}, after {steps} steps," for game, steps in enumerate(before)]
        check_epsilons(training.games, names, line(before), mistakes)

    def best_actions_at_epsilon_zero(self, solution: Solution) -> None:
        """With epsilon 0 every action after the filling is the best by q_net."""
        training = self.train(solution, max_epsilon=0.0, min_epsilon=0.0)
        are_best = training.are_best
        if all(are_best):
            return
        ours, target = training.versions.T
        played = training.played_steps
        first_marks = np.concatenate([[g[0].state] * len(g) for g in training.played_games])
        marks = np.array([step.state for step in played])
        mistakes = {
            "they are those of target_net; q_net decides": target,
            "they are the worst (argmin); the best is argmax": ours - 1,
            "they are those of q_net at the start of the training, an old copy": 0 * ours,
            "they are the best in the first state of the game; is state = next_state missing?": ours
            + first_marks
            - marks,
        }
        hints = (what for what, offsets in mistakes.items() if training.follows(offsets))
        first = are_best.index(False)
        again = self.train(solution, max_epsilon=0.0, min_epsilon=0.0, rng=np.random.default_rng(1))
        unknown = (
            "ask q_net about the present state, take the index of its largest value"
            if [step.action for step in again.played_steps] == [step.action for step in played]
            else "they are random; is the comparison with epsilon the wrong way round?"
            if np.mean(are_best) < 0.5
            else "some are random; is epsilon compared with a number that is uniform in 0..1?"
        )
        raise WrongError(
            f"with epsilon 0 {are_best.count(False)} of {len(are_best)} actions are not q_net's"
            f" best (argmax), one was {played[first].action}: " + next(hints, unknown)
        )

    def random_actions_at_epsilon_one(self, solution: Solution) -> None:
        """With epsilon 1 every action is random, and so are those that fill the replay buffer."""
        training = self.train(solution, n_episodes=60, prefill=600, update_every=1000)
        filling = [step.action for step in training.env.log[:600]]
        check_random(filling, 3, "fill the replay buffer")
        played = [step.action for step in training.played_steps]
        starts = {tuple(step.action for step in game[:5]) for game in training.played_games}
        is_fixed = len(set(played)) == 1 or all(training.are_best)
        if len(starts) < 10 and not is_fixed:
            raise WrongError(
                f"60 games with epsilon 1 begin with only {len(starts)} different choices of 5"
                " actions: is a new generator made in each game? Use the argument `rng`"
            )
        check_random(played, 3, "are played with epsilon 1")
        share = float(np.mean(training.are_best))
        if abs(share - 1 / 3) > 0.1:
            raise WrongError(
                f"with epsilon 1 the share of q_net's best actions among 3 is {share:.2f}: a random"
                " action is any of them, the best one, too"
            )

    def epsilon_is_used(self, solution: Solution) -> None:
        """The epsilon that falls decides at each step."""
        settings: dict[str, Any] = {"max_epsilon": 1.0, "min_epsilon": 0.0, "epsilon_decay": 0.01}
        are_best = self.train(solution, n_episodes=25, **settings).are_best
        if all(are_best[:60]):
            raise WrongError("epsilon begins with 1, but the first 60 actions are all q_net's best")
        if not all(are_best[100:]):
            raise WrongError(
                f"after 100 steps epsilon is 0, but {are_best[100:].count(False)} of the later"
                " actions are not q_net's best: the epsilon that falls must be the one that decides"
            )
        half: dict[str, Any] = {"max_epsilon": 0.5, "min_epsilon": 0.5}
        training = self.train(solution, n_episodes=60, update_every=1000, **half)
        ends = np.cumsum([len(game) for game in training.played_games])
        games = np.split(training.are_best, ends[:-1])
        never = np.flatnonzero(np.all([game[:5] for game in games], axis=0))
        if 0 < len(never) < 5:
            raise WrongError(
                f"with epsilon 0.5 step {never[0]} is q_net's best action in all of 60 games: the"
                " same steps of each game are random. Is a generator seeded in each game?"
            )
        share = float(np.mean(training.are_best))
        if abs(share - 2 / 3) > 0.1:
            raise WrongError(
                f"with epsilon 0.5 and 3 actions {share:.2f} of the actions are q_net's best, two"
                " thirds are due: compare epsilon with a number that is uniform in 0..1"
            )
        whole = sum(map(np.all, games))
        if whole > 20:
            raise WrongError(
                f"with epsilon 0.5 {whole} of 60 games have only q_net's best actions: decide in"
                " each step whether it is random, not once a game"
            )

    def target_is_copied(self, solution: Solution) -> None:
        """The target network gets the weights of q_net every copy_every steps, no sooner."""
        check_copies(self.train(solution, n_episodes=20, update_every=2))

    def training_stops(self, solution: Solution) -> None:
        """The training stops when the mean of the last games reaches stop_at."""
        env: dict[str, Any] = {"scales": _SCALES}
        training = self.train(solution, env, n_episodes=20)
        scores = [sum(step.reward for step in game) for game in training.played_games]
        training.check_number_of_games()

        def due(rule: Callable[[list[float]], Any]) -> int:
            return next((n for n in range(1, 20) if rule(scores[:n])), 20)

        stop_at = 23.0
        rules: dict[str, Callable[[list[float]], Any]] = {
            "": lambda s: len(s) >= 5 and np.mean(s[-5:]) >= stop_at,
            ": wait until window games are played": lambda s: np.mean(s[-5:]) >= stop_at,
            ": the mean counts, not the score of one game": lambda s: s[-1] >= stop_at,
            ": the mean of the last 5 counts, not the newest game": lambda s: (
                len(s) >= 5 and s[-1] >= stop_at
            ),
            ": the mean of the last 5 counts, not the best": lambda s: (
                len(s) >= 5 and max(s[-5:]) >= stop_at
            ),
            ": the mean of the last 5 (window) counts, not of fewer": lambda s: (
                len(s) >= 4 and np.mean(s[-4:]) >= stop_at
            ),
            ": the mean of the last 5 (window) counts, not of more": lambda s: (
                len(s) >= 6 and np.mean(s[-6:]) >= stop_at
            ),
            ": is stop_at compared with the mean of all games, or not at all?": lambda s: False,
        }
        n_games = len(self.train(solution, env, n_episodes=20, stop_at=stop_at).games)
        expected = due(rules[""])
        if n_games != expected:
            hints = (hint for hint, rule in rules.items() if due(rule) == n_games)
            raise WrongError(
                f"the mean of the last 5 games reaches stop_at={stop_at:g} with game number"
                f" {expected}, but {n_games} games were played{next(hints, '')}"
            )


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
        update_every=2,
        copy_every=50,
        min_epsilon=0.1,
        epsilon_decay=0.001,
        gamma=0.9,
        loss_function=nn.functional.smooth_l1_loss,
    )
    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.005)
    solution.train_dqn(env, q_net, target_net, optimizer, **settings, report=lambda game: None)
    with torch.no_grad():
        best = q_net(torch.eye(8)[:-1]).argmax(dim=1).tolist()
    if best != [1] * 7:
        raise WrongError(
            f"after 120 games the best actions along the corridor are {best}, 1 leads to the reward"
        )


def real_network_is_trained(solution: Solution) -> None:
    """With a convolutional network and your own atari_update it trains."""
    shape, n_stack, n_actions = (24, 16), 2, 3
    q_net, target_net = (
        nn.Sequential(
            nn.Conv2d(n_stack, 4, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(24, n_actions)
        )
        for _ in range(2)
    )
    before = [weights.clone() for weights in q_net.parameters()]
    settings = training_settings(
        n_episodes=4, max_epsilon=0.5, min_epsilon=0.5, crop=CROP, shape=shape, n_stack=n_stack
    )
    optimizer = torch.optim.Adam(q_net.parameters(), lr=0.005)
    env = MarkedEnv(screens=True, n_actions=n_actions)
    solution.train_atari(env, q_net, target_net, optimizer, **settings, report=lambda game: None)
    if all(torch.equal(*pair) for pair in zip(before, q_net.parameters(), strict=True)):
        raise WrongError(
            "after 4 games the weights of q_net are what they were: is atari_update the lesson's?"
        )


DQN_TRAINING = TrainingLoop(
    function="train_dqn",
    update="dqn_update",
    screens=False,
    n_actions=2,
    settings={"loss_function": scaled_loss},
    other_sizes={},
).exercise(corridor_is_learned)

ATARI_TRAINING = TrainingLoop(
    function="train_atari",
    update="atari_update",
    screens=True,
    n_actions=4,
    settings={"crop": (30, 195, 5, 155), "shape": (84, 84), "n_stack": 4},
    other_sizes={"crop": CROP, "shape": (48, 56), "n_stack": 3},
).exercise(real_network_is_trained)
