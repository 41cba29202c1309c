"""Exercise 2a, ``dqn_update``: targets from the target network, one step of gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError

_GAMMA = 0.5
_LEARNING_RATE = 0.1
#: Smaller changes of a value are none.
_STILL = 1e-4

#: Q of the online and of the target network: rows are states, columns actions. All maxima differ.
_ONLINE = [[1.0, 2.0, 4.0], [3.0, 9.0, 5.0], [7.0, 6.0, 8.0], [0.0, 1.0, 3.0]]
_TARGET = [[12.0, 10.0, 11.0], [14.0, 15.0, 19.0], [22.0, 29.0, 26.0], [33.0, 30.0, 35.0]]

#: Three transitions and their targets.
_THREE_ROWS = [(0, 1, 7.0, 1, True), (1, 0, 4.0, 2, False), (2, 2, 6.0, 3, False)]
_THREE_TARGETS = np.array([7.0, 4.0 + _GAMMA * 29.0, 6.0 + _GAMMA * 35.0])


class _Table(nn.Module):
    """A network that is a table: its values can be set and read. Inputs are one-hot states."""

    def __init__(self, values: list[list[float]]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states @ self.values


#: state, action, reward, next state, ended
_Row = tuple[int, int, float, int, bool]


class _Case:
    """A batch, the two networks, and what an update does to them.

    :param rows: the transitions.
    :param values: what the online network says of each of them; default: what its table has.
    """

    def __init__(self, solution: Solution, *rows: _Row, values: Sequence[float] = ()) -> None:
        states, actions, rewards, next_states, ended = map(list, zip(*rows, strict=True))
        one_hot = torch.eye(4)
        self.batch = solution.Batch(
            one_hot[states],
            torch.tensor(actions),
            torch.tensor(rewards, dtype=torch.float32),
            one_hot[next_states],
            torch.tensor(ended, dtype=torch.float32),
        )
        self.solution, self.cells = solution, (states, actions)
        self.online, self.target = _Table(_ONLINE), _Table(_TARGET)
        self.set_values(values)
        self.optimizer = torch.optim.SGD(self.online.parameters(), lr=_LEARNING_RATE)

    def set_values(self, values: Sequence[float]) -> None:
        """Make the online network say this of the transitions."""
        if values:
            self.online.values.data[self.cells] = torch.tensor(values)

    def moves(self, loss_function: Any = nn.functional.smooth_l1_loss) -> NDArray[np.float32]:
        """Call the student's function; return by how much the value of each row changed."""
        before = self.online.values.detach()[self.cells]
        self.loss = self.solution.dqn_update(
            self.online, self.target, self.optimizer, self.batch, _GAMMA, loss_function
        )
        moved: NDArray[np.float32] = (self.online.values.detach()[self.cells] - before).numpy()
        return moved


def end_is_worth_its_reward(solution: Solution) -> None:
    """The target of a step that ended the game is its reward alone."""
    mistakes = {
        0.0: "the reward counts all the same, only the future does not",
        2.0 + _GAMMA * 19.0: "where `ended` is 1 nothing of the next state counts (the terminal"
        " case is missing)",
    }
    _check_target(solution, (0, 1, 2.0, 1, True), 2.0, mistakes)


def target_is_bellmans(solution: Solution) -> None:
    """Any other target is reward + gamma * the target network's best value of the next state."""
    mistakes = {
        1.0 + _GAMMA * 9.0: "the best value is that of q_net, which learns, not of target_net",
        1.0 + 19.0: "gamma is left out",
        1.0: "the future is left out: only the reward counts",
        1.0 - _GAMMA * 19.0: "the future is subtracted: the sign of gamma is wrong",
        1.0 + _GAMMA * 12.0: "the best value is that of the state that was left, not the next",
        1.0 + _GAMMA * 14.0: "the smallest value of the next state is taken, not the largest",
        1.0 + _GAMMA * 16.0: "the mean of the next state's values is taken, not the largest",
        1.0 + _GAMMA * 48.0: "the sum of the next state's values is taken, not the largest",
        1.0 + _GAMMA * 15.0: "the next state's value is read at one action (the old one, or the"
        " online network's best), not at target_net's best",
        _GAMMA * (1.0 + 19.0): "gamma is applied to the reward too",
        _GAMMA * 19.0: "the reward is left out",
    }
    _check_target(solution, (0, 1, 1.0, 1, False), 1.0 + _GAMMA * 19.0, mistakes)


def _check_target(solution: Solution, row: _Row, right: float, mistakes: dict[float, str]) -> None:
    """Check that a value which is at its target stays; if not, find the one that does.

    :param row: the transition.
    :param right: its target.
    :param mistakes: another target -> what was done.
    """
    (moved,) = _Case(solution, row, values=[right]).moves()
    if abs(moved) <= _STILL:
        return
    hint = f"Q was {right:g} already, and moved by {moved:+.3f}"
    for target, mistake in mistakes.items():
        if abs(_Case(solution, row, values=[target]).moves()) <= _STILL:
            hint = f"yours is {target:g}: {mistake}"
            break
    raise WrongError(
        f"a step paid {row[2]:g} and {'ended' if row[4] else 'did not end'} the game, gamma is"
        f" {_GAMMA}, target_net's best value of the next state 19: the target is {right:g}; {hint}"
    )


def value_moves_to_target(solution: Solution) -> None:
    """The value of the action that was taken moves towards its target."""
    target = 10.0 + _GAMMA * 19.0
    (moved,) = _Case(solution, (0, 1, 10.0, 1, False), values=[-100.0]).moves()
    if moved == 0:
        raise WrongError(
            f"the target is {target:g}, Q is -100 and does not move: loss.backward() and"
            " optimizer.step() are missing, zero_grad() stands between them, `predicted` is not the"
            " value of the action that was taken, or it is computed inside no_grad"
        )
    if moved < 0:
        raise WrongError(
            f"the target is {target:g}, Q is -100 and moves by {moved:+.3f}, away from it: the sign"
            " of the loss is wrong"
        )


def other_actions_stay(solution: Solution) -> None:
    """The values of actions that were not taken stay."""
    case = _Case(solution, (0, 1, 10.0, 1, True))
    case.moves()
    change = (case.online.values.detach() - torch.tensor(_ONLINE)).abs()
    change[0, 1] = 0
    if change.max() > _STILL:
        state, action = np.unravel_index(int(change.argmax()), change.shape)
        raise WrongError(
            f"action 1 of state 0 was taken, but the value of action {action} of state {state}"
            f" moved by {float(change.max()):.3f}: choose the taken action's column (gather)"
        )


def every_row_counts(solution: Solution) -> None:
    """Every transition of the batch has a target of its own."""
    moved = _Case(solution, *_THREE_ROWS, values=_THREE_TARGETS.tolist()).moves()
    if np.abs(moved).max() > _STILL:
        raise WrongError(
            f"three transitions, each at its own target, moved by {np.round(moved, 3)}: do the"
            " shapes of predicted and targets agree? ((B, 1) and (B,) make (B, B))"
        )


def target_network_stays(solution: Solution) -> None:
    """The target network is only read."""
    case = _Case(solution, (0, 1, 2.0, 1, False))
    case.moves()
    if case.target.values.grad is not None:
        raise WrongError(
            "the gradient runs into target_net: targets are numbers, compute them inside no_grad"
        )
    if not torch.equal(case.target.values.detach(), torch.tensor(_TARGET)):
        raise WrongError("the update changed target_net: that is copied elsewhere, now and then")


def gradients_do_not_add_up(solution: Solution) -> None:
    """Each update begins with gradients of zero."""
    case = _Case(solution, (0, 1, 10.0, 1, True), values=[0.0])
    case.moves()
    case.set_values([10.0])
    (moved,) = case.moves()
    if abs(moved) > _STILL:
        raise WrongError(
            f"in the second update Q was at its target, and moved by {moved:+.3f}: the gradient of"
            " the first is still there, optimizer.zero_grad() is missing"
        )


def given_loss_is_used(solution: Solution) -> None:
    """The loss function that was passed is used, and its value returned."""
    n_calls = 0

    def loss_function(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal n_calls
        n_calls += 1
        return nn.functional.mse_loss(predicted, targets)

    errors = np.array([1.0, 0.5, 0.5])
    case = _Case(solution, *_THREE_ROWS, values=(_THREE_TARGETS - errors).tolist())
    moved, expected = case.moves(loss_function), _LEARNING_RATE * 2 / 3 * errors
    if n_calls != 1:
        raise WrongError(f"loss_function was called {n_calls} times in one update")
    if not isinstance(case.loss, (float, np.floating)):
        raise WrongError(f"dqn_update returns the loss as a number (loss.item()), got {case.loss}")
    if abs(case.loss - np.mean(errors**2)) > _STILL:
        raise WrongError(f"the loss was {np.mean(errors**2):g}, dqn_update returned {case.loss:g}")
    if not np.allclose(moved, expected, atol=_STILL):
        raise WrongError(
            f"three values moved by {moved.round(4)}, one step of the given optimizer down the"
            f" gradient of the given loss moves them by {expected.round(4)}"
        )


DQN_UPDATE = Exercise(
    functions=("dqn_update",),
    given=("Batch",),
    properties=(
        value_moves_to_target,
        end_is_worth_its_reward,
        target_is_bellmans,
        other_actions_stay,
        every_row_counts,
        target_network_stays,
        gradients_do_not_add_up,
        given_loss_is_used,
    ),
)
