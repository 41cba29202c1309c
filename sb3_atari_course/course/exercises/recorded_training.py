"""A training by a student's loop, recorded: its steps, its updates, what it returned and reported.

Its networks answer by rule, and the update function is replaced by one that looks at what it gets.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sb3_atari_course.course.exercises.batch_rows import Row, read_rows
from sb3_atari_course.course.exercises.fake_envs import Step
from sb3_atari_course.course.exercises.judging import Solution, WrongError
from sb3_atari_course.course.exercises.marked_env import GAME, MarkedEnv

#: Fields of a Game that are numbers.
_NUMBERS = ("number", "steps", "total_steps", "epsilon", "score", "average")


class RuleNet(nn.Module):
    """A network whose best action in a :class:`.MarkedEnv` is (mark + version + shift) % n.

    It refuses what the network of the lesson refuses, with the cause.

    :param n_actions: n, number of actions.
    :param input_shape: shape of one observation.
    :param version: number of updates that made it what it is.
    :param shift: makes the best actions of two networks differ; is not among the weights.
    """

    def __init__(
        self, n_actions: int, input_shape: tuple[int, ...], version: int = 0, shift: int = 0
    ) -> None:
        super().__init__()
        self.n_actions, self.input_shape, self.shift = n_actions, input_shape, shift
        self.version = nn.Parameter(torch.tensor([float(version)]))

    def forward(self, observations: Any) -> Any:
        """Return values (B, n), 0 for the best action, -1 for the next one, and so on.

        :param observations: (B, *input_shape) float32; for vectors also a single one.
        """
        self._check(observations)
        if observations.ndim == 1:
            return self.forward(observations[None])[0]
        if observations.ndim == 4:
            marks = observations[:, -1, 0, 0] * 255 - 1
        else:
            marks = observations[:, 0] * 100
        best = marks.round() + self.version.detach() + self.shift
        actions = torch.arange(self.n_actions)
        return -((actions - best[:, None]) % self.n_actions) + 0 * self.version

    def _check(self, observations: Any) -> None:
        """Refuse an input that the network of the lesson refuses, or for which it is not made."""
        if not isinstance(observations, torch.Tensor):
            raise WrongError(
                f"a network was called with {type(observations).__name__}, not with a tensor: write"
                " torch.as_tensor(...)"
            )
        shape, is_stack = tuple(observations.shape), len(self.input_shape) == 3
        if shape == self.input_shape and is_stack:
            raise WrongError(
                f"a network got one stack, {shape}, without a batch axis: write [None] or"
                f" unsqueeze(0), (1, {', '.join(map(str, shape))})"
            )
        if shape[-len(self.input_shape) :] != self.input_shape or len(shape) > 4:
            raise WrongError(
                f"a network got the shape {shape}, its input is (B, *{self.input_shape})"
            )
        if is_stack and (not observations.is_floating_point() or float(observations.max()) > 1):
            raise WrongError(
                f"a network got {observations.dtype} up to {float(observations.max()):g}: divide"
                " the bytes by 255 before"
            )
        if observations.dtype != torch.float32:
            raise WrongError(
                f"a network got {observations.dtype}, its weights are float32: a real one refuses"
                " that; write torch.as_tensor(..., dtype=torch.float32)"
            )


@dataclass(frozen=True)
class Update:
    """One call of the update function.

    :param n_steps: steps that the environment had been played before it.
    :param target_version: number of updates that made the target network.
    :param rows: what it was to learn from.
    """

    n_steps: int
    target_version: float
    rows: list[Row]


def scaled_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return a loss that no lesson uses."""
    return 0.3 * (predicted - targets).abs().mean()


def training_settings(**changes: Any) -> dict[str, Any]:
    """Return arguments of a short training without an end of its exploring.

    None of them is what the lessons use.

    :param changes: of these, and more of them.
    """
    return {
        "n_episodes": 15,
        "max_steps": 50,
        "memory_size": 1000,
        "prefill": 30,
        "batch_size": 12,
        "update_every": 3,
        "copy_every": 10,
        "max_epsilon": 1.0,
        "min_epsilon": 1.0,
        "epsilon_decay": 0.0,
        "gamma": 0.87,
        "window": 5,
        "stop_at": None,
        "rng": np.random.default_rng(0),
        **changes,
    }


def seed_everything(seed: int) -> None:
    """Seed the global generators, for students who use them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


class RecordedTraining:
    """A training by the student's loop, and what was recorded of it.

    :param solution: the student's code.
    :param function: name of the function that trains.
    :param update: name of the update function that it calls.
    :param env: in which it plays.
    :param settings: all arguments but the networks, the optimizer, and report.
    :raises WrongError: for what is wrong in any training, such as arguments of the update.
    """

    def __init__(
        self,
        solution: Solution,
        function: str,
        update: str,
        env: MarkedEnv,
        settings: dict[str, Any],
    ) -> None:
        self.env, self.settings, self.update_name = env, settings, update
        shape = (settings["n_stack"], *settings["shape"]) if env.screens else (env.n_inputs,)
        self.input_shape = shape
        self.q_net = RuleNet(env.n_actions, shape)
        self.target_net = RuleNet(env.n_actions, shape, version=-1, shift=1)
        self.optimizer = torch.optim.SGD(self.q_net.parameters(), lr=0.1)
        self.updates: list[Update] = []
        #: (what report got, steps played so far) of each call.
        self.reports: list[tuple[Any, int]] = []
        #: Best actions of q_net and of target_net at each step.
        self._versions: list[tuple[int, int]] = []
        env.before_step = self._record_versions
        original = getattr(solution, update)
        self._signature = inspect.signature(original)
        names = [name for name, value in vars(solution).items() if value is original]
        vars(solution).update(dict.fromkeys(names, self._record_update))
        try:
            games = getattr(solution, function)(
                env, self.q_net, self.target_net, self.optimizer, **settings, report=self._report
            )
        finally:
            vars(solution).update(dict.fromkeys(names, original))
        self.games = _check_games(games, function)
        n_played = len(self.env.log) - settings["prefill"]
        if not self.updates and n_played > 2 * settings["update_every"]:
            raise WrongError(
                f"{update} was never called in a training of {n_played} steps: each batch is"
                " learned from by calling it"
            )

    def _record_versions(self) -> None:
        version = round(float(self.q_net.version))
        target = self.target_net
        self._versions.append((version, round(float(target.version)) + target.shift))

    def _report(self, *args: Any, **kwargs: Any) -> None:
        if len(args) + len(kwargs) != 1:
            raise WrongError(
                f"report got {len(args) + len(kwargs)} arguments: call it with the game's entry"
                " alone, report(games[-1])"
            )
        (game,) = (*args, *kwargs.values())
        _check_game(game, "report got an entry that")
        self.reports.append((game, len(self.env.log)))

    def _record_update(self, *args: Any, **kwargs: Any) -> float:
        """Record a call of the update function, and make q_net a version newer."""
        has_loss = "loss_function" in self.settings
        names = ["q_net", "target_net", "optimizer", "batch", "gamma"]
        names += ["loss_function"] if has_loss else []
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise WrongError(
                f"{self.update_name} was called with other arguments than it has,"
                f" {', '.join(self._signature.parameters)}: {error}"
            ) from None
        bound.apply_defaults()
        given = dict(bound.arguments)
        if not given.keys() >= set(names):  # the student's parameters have other names
            given = dict(zip(names, given.values(), strict=False))
        if len(given) < len(names):
            raise WrongError(
                f"{self.update_name} was called with {len(given)} arguments: {', '.join(names)} are"
                " what the lesson's has"
            )
        self._check_networks(given["q_net"], given["target_net"])
        self._check_learning(given)
        rows = read_rows(given["batch"], self.settings["batch_size"], self.input_shape)
        target_version = float(given["target_net"].version)
        self.target_net = given["target_net"]
        self.updates.append(Update(len(self.env.log), target_version, rows))
        with torch.no_grad():
            self.q_net.version.add_(1)
        return 0.0

    def _check_networks(self, q_net: Any, target_net: Any) -> None:
        """Check which networks an update gets, and that no other one was changed."""
        name = self.update_name
        if target_net is q_net:
            raise WrongError(
                f"{name} got the same network twice: target_net is q_net itself. Copy the weights"
                " (load_state_dict), do not assign the network"
            )
        if target_net is self.q_net:
            raise WrongError(
                f"{name} got q_net and target_net swapped: the network that learns comes first"
            )
        if q_net is not self.q_net:
            raise WrongError(
                f"{name} trains another network than the q_net that was given: the caller's stays"
                " as it was. Do not make or copy one for it"
            )
        if not isinstance(target_net, RuleNet):
            raise WrongError(
                f"{name} got {type(target_net).__name__} as its target_net: give it target_net"
            )
        if float(self.q_net.version) != len(self.updates):
            raise WrongError(
                "q_net has lost what it learned: its weights were changed outside of the update. Is"
                " target_net copied into it? q_net's weights go into target_net:"
                " target_net.load_state_dict(q_net.state_dict())"
            )

    def _check_learning(self, given: dict[str, Any]) -> None:
        """Check the other arguments of an update, and that a gradient can be computed in it."""
        name = self.update_name
        if not torch.is_grad_enabled():
            raise WrongError(
                f"{name} was called inside torch.no_grad(): it cannot compute a gradient there;"
                " only the choice of an action belongs inside"
            )
        if given["optimizer"] is not self.optimizer:
            raise WrongError(
                f"{name} got another optimizer than the one that was given: do not make or copy"
                " one, use the argument `optimizer`"
            )
        gamma = given["gamma"]
        if not _is_number(gamma) or abs(float(gamma) - self.settings["gamma"]) > 1e-6:
            raise WrongError(
                f"{name} got gamma={gamma!r}, the training was given gamma={self.settings['gamma']}"
            )
        loss = given.get("loss_function")
        if "loss_function" in self.settings and loss is not self.settings["loss_function"]:
            ones = torch.tensor([1.0, 3.0]), torch.zeros(2)
            if not callable(loss) or not torch.equal(loss(*ones), scaled_loss(*ones)):
                raise WrongError(
                    f"{name} got {getattr(loss, '__name__', loss)} as its loss, the training was"
                    " given another one: use the argument `loss_function`"
                )

    @property
    def played_steps(self) -> list[Step]:
        """The steps after those that fill the replay buffer."""
        return self.env.log[self.settings["prefill"] :]

    @property
    def played_games(self) -> list[list[Step]]:
        """The same steps, game by game."""
        return [list(game) for _, game in groupby(self.played_steps, lambda step: step.episode)]

    def random_choices(self) -> tuple[list[int], list[list[int]]]:
        """Return what was chosen at random: actions, and by their steps' marks the batches."""
        offset = GAME * self.env.first_game
        batches = [[row.before[-1] - offset for row in update.rows] for update in self.updates]
        return [step.action for step in self.played_steps], batches

    def check_number_of_games(self) -> None:
        """Check that as many games were played and returned as was asked for.

        :raises WrongError: if not; the training must not have had a ``stop_at``.
        """
        due, n_played, n_returned = (
            self.settings["n_episodes"],
            len(self.played_games),
            len(self.games),
        )
        if not due == n_played == n_returned:
            raise WrongError(
                f"n_episodes is {due}, stop_at is None: {n_played} games were played, {n_returned}"
                " returned"
            )

    @property
    def are_best(self) -> list[bool]:
        """Whether each of these steps took q_net's best action.

        That of q_net before the newest update counts, too: an action may be chosen before it.
        """
        first = self.settings["prefill"]
        versions = [version for version, _ in self._versions]
        return [
            (step.action - step.state - versions[i]) % self.env.n_actions == 0
            or (step.action - step.state - versions[i - 1]) % self.env.n_actions == 0
            for i, step in enumerate(self.env.log[first:], first)
        ]

    def follows(self, offsets: Sequence[int] | NDArray[Any]) -> bool:
        """Return whether each of these steps took the action (mark + offset) % n_actions.

        :param offsets: one for each step.
        """
        pairs = zip(self.played_steps, offsets, strict=True)
        return all((step.action - step.state - k) % self.env.n_actions == 0 for step, k in pairs)

    @property
    def versions(self) -> NDArray[np.int64]:
        """Versions of q_net and target_net at each of these steps, (n, 2); the shift added."""
        return np.array(self._versions[self.settings["prefill"] :])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _check_game(game: Any, what: str) -> None:
    """Check that an entry has the fields of a Game.

    :raises WrongError: if not.
    """
    for field in _NUMBERS:
        if not _is_number(getattr(game, field, None)):
            raise WrongError(
                f"{what} has no number `{field}`: {str(game)[:60]!r}. Make a Game for each game:"
                " Game(number, steps, total_steps, epsilon, seconds, score, average)"
            )


def _check_games(games: Any, function: str) -> list[Any]:
    """Check what the training returned.

    :raises WrongError: if it is not a list with a Game for each game.
    """
    if not isinstance(games, (list, tuple)):
        hint = {
            "NoneType": ": is `return games` missing at the end?",
            "generator": ": it contains `yield`; append each game to a list instead",
        }.get(type(games).__name__, "")
        raise WrongError(
            f"{function} returns a list with a Game for each game, got {type(games).__name__}{hint}"
        )
    for number, game in enumerate(games):
        _check_game(game, f"entry {number} of the returned list")
    return list(games)
