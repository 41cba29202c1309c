"""Exercise 2a, ``dqn_update``: targets from the target network, one step of gradient descent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.watched_network import global_numbers
from sb3_atari_course.course.exercises.watched_update import (
    GAMMA,
    LEARNING_RATE,
    TARGET_NET,
    Row,
    WatchedUpdate,
    make_batch,
)

#: Smaller changes of a value are none.
_STILL = 1e-4
#: Weights that differ less are the same.
_SAME_WEIGHTS = 1e-5

#: Transitions, and the largest value of each one's next state.
_ROWS: list[Row] = [
    (0, 1, 7.0, 1, True),
    (1, 0, 4.0, 2, False),
    (2, 2, 6.0, 3, False),
    (3, 5, -2.0, 1, False),
    (0, 3, 5.0, 2, False),
]
_BEST_NEXT = [20.0, 40.0, 60.0, 20.0, 40.0]
_ERRORS = np.array([1.0, 0.5, 0.5, 0.25, 0.75])
_NOTHING_KEPT = (
    "networks, optimizer and batch are those of this call, keep nothing from"
    " call to call (a global, an attribute, a default value)"
)
#: Updates after which a target network that is copied inside has been copied.
_MANY = 210


def _targets(n_rows: int, best_next: list[float] = _BEST_NEXT) -> NDArray[np.float64]:
    """Return the targets of the first transitions.

    :param best_next: the value of each one's next state.
    """
    pairs = zip(_ROWS[:n_rows], best_next, strict=False)
    return np.array([row[2] + (0 if row[4] else GAMMA * best) for row, best in pairs])


def value_moves_to_target(solution: Solution) -> None:
    """The value of the action that was taken moves towards its target."""
    target = 10.0 + GAMMA * 20.0
    update = WatchedUpdate(solution, (0, 1, 10.0, 1, False), values=[-100.0])
    (moved,) = update.moves()
    seen = f"the target is {target:g}, Q is -100 and"
    if moved == 0:
        raise WrongError(f"{seen} does not move: {_why_still(update)}")
    if moved < 0:
        raise WrongError(
            f"{seen} moves by {moved:+.3f}, away from it: the sign of the loss is wrong"
        )
    (other,) = WatchedUpdate(solution, (2, 3, 10.0, 3, False), values=[-100.0]).moves()
    (again,) = WatchedUpdate(solution, (0, 1, 10.0, 1, False), values=[-100.0]).moves()
    if other <= 0 or abs(again - moved) > _STILL:
        raise WrongError(
            f"the value moved by {moved:+.3f} in one update, by {other:+.3f} in the next, with new"
            f" networks and another batch, by {again:+.3f} in one like the first: {_NOTHING_KEPT}"
        )


def _why_still(update: WatchedUpdate) -> str:
    """Return why a value did not move, by what was done to networks and optimizer."""
    events = update.events
    if "gradient" not in events:
        if "gradient of target_net" in events:
            return "the gradient runs into target_net: `predicted` comes from q_net, which learns"
        if "backward" in events:
            return (
                "no gradient reaches q_net: `predicted` is a copy of its values (detach, a tensor)"
            )
        return "no gradient was computed, loss.backward() is missing"
    if update.change.any():
        return _what_moved(update)
    others = [event for event in events if event.startswith("step of ")]
    if others and "step" not in events:
        return f"there is a gradient, but a {others[0]} was made, not one of the given optimizer"
    if "step" not in events:
        return "there is a gradient, but nothing moves the weights: optimizer.step() is missing"
    if events.index("step") < events.index("gradient"):
        return "optimizer.step() stands before loss.backward(), which computes the gradient for it"
    if update.gradient is None or not update.gradient.any():
        return (
            "optimizer.zero_grad() stands between loss.backward() and optimizer.step(), and forgets"
            " the gradient before it is used"
        )
    return "optimizer.step() was called with a gradient, but the weights are as before"


def _what_moved(update: WatchedUpdate) -> str:
    """Return which value moved most, if action 1 of state 0 was taken and state 1 followed."""
    state, action = np.unravel_index(int(update.change.abs().argmax()), update.change.shape)
    hint = "choose the taken action's column (gather)"
    if update.changed_outside:
        hint = "something else than optimizer.step() changes the weights"
    elif state == 1:
        hint = "`predicted` is about batch.states, not about next_states"
    return (
        "action 1 of state 0 was taken, but the value of action"
        f" {action} of state {state} moved by {float(update.change[state, action]):+.3f}: {hint}"
    )


def target_network_stays(solution: Solution) -> None:
    """The target network is only read."""
    update = WatchedUpdate(solution, (0, 1, 2.0, 1, False), values=[-100.0])
    for number in range(_MANY):
        update.moves()
        if not torch.equal(update.target_net.values, torch.tensor(TARGET_NET)):
            raise WrongError(
                f"update {number + 1} changed target_net: the training copies q_net into it, every"
                " `copy_every` steps"
            )
        if "gradient of target_net" in update.events:
            raise WrongError("the gradient runs into target_net: targets are numbers, use no_grad")


def end_is_worth_its_reward(solution: Solution) -> None:
    """The target of a step that ended the episode is its reward alone."""
    mistakes = {
        1.0: "the reward is clipped, take it as it is",
        0.0: "the reward counts all the same, only the future does not",
        2.0 + GAMMA * 20.0: "where `ended` is 1 nothing of the next state counts (the terminal"
        " case is missing)",
        2.0 - GAMMA * 20.0: "where `ended` is 1 nothing of the next state counts, and nothing is"
        " subtracted",
    }
    _check_target(solution, (0, 1, 2.0, 1, True), 2.0, mistakes)


def target_is_bellmans(solution: Solution) -> None:
    """Any other target is reward + gamma * the target network's best value of the next state."""
    at_action = "the next state's value is read at the action that {}, not at target_net's best"
    mistakes = {
        1.0 + GAMMA * 9.0: "the best value is that of q_net, which learns, not of target_net",
        1.0 + 20.0: "gamma is left out",
        1.0: "the future is left out: only the reward counts",
        1.0 - GAMMA * 20.0: "the future is subtracted: the sign of gamma is wrong",
        1.0 + GAMMA * 28.0: "the best value is that of the state that was left, not the next",
        1.0 + GAMMA * 2.0: "the smallest value of the next state is taken, not the largest",
        1.0 + GAMMA * 62 / 6: "the mean of the next state's values is taken, not the largest",
        1.0 + GAMMA * 62.0: "the sum of the next state's values is taken, not the largest",
        1.0 + GAMMA * 3.0: "the number of the best action (argmax, .indices) is taken for its"
        " value: .max(dim=1).values",
        1.0 + GAMMA * 16.0: at_action.format("q_net finds best there (that is Double DQN)"),
        1.0 + GAMMA * 8.0: at_action.format("was taken before"),
        1.0 + GAMMA * 12.0: at_action.format("is best in the state that was left, or at action 0"),
        GAMMA * (1.0 + 20.0): "gamma is applied to the reward too",
        GAMMA * 20.0: "the reward is left out",
        1.0 + (1 - GAMMA) * 20.0: "1 - gamma stands where gamma belongs",
    }
    for literal in (0.9, 0.95, 0.98, 0.99, 0.999):
        mistakes[1.0 + literal * 20.0] = (
            f"gamma is {literal}, whatever was passed: use the argument"
        )
    _check_target(solution, (0, 1, 1.0, 1, False), 1.0 + GAMMA * 20.0, mistakes)
    for reward in (300.0, -300.0):
        right = reward + GAMMA * 20.0
        limits = (reward / 300, reward / 30, reward / 3)
        clipped = {
            limit + GAMMA * 20.0: "the reward is clipped, take it as it is" for limit in limits
        }
        clipped |= dict.fromkeys(limits, "the target is clipped, take it as it is")
        _check_target(solution, (0, 1, reward, 1, False), right, clipped)


def _check_target(
    solution: Solution, row: Row, right: float, mistakes: Mapping[float, str]
) -> None:
    """Check that a value which is at its target stays; if not, find the one that does.

    :param row: the transition.
    :param right: its target.
    :param mistakes: another target -> what was done.
    """
    (moved,) = WatchedUpdate(solution, row, values=[right]).moves()
    if abs(moved) <= _STILL:
        return
    hint = f"Q was {right:g} already, and moved by {moved:+.3f}"
    for target, mistake in mistakes.items():
        if abs(WatchedUpdate(solution, row, values=[target]).moves()) <= _STILL:
            hint = f"yours is {target:g}: {mistake}"
            break
    raise WrongError(
        f"the reward was {row[2]:g}, the step {'ended' if row[4] else 'did not end'} the episode,"
        f" gamma is {GAMMA}, target_net's best value of the next state 20: the target is {right:g};"
        f" {hint}"
    )


def other_actions_stay(solution: Solution) -> None:
    """The values of actions that were not taken stay."""
    update = WatchedUpdate(solution, (0, 1, 10.0, 1, True))
    update.moves()
    update.change[0, 1] = 0
    if update.change.abs().max() > _STILL:
        raise WrongError(_what_moved(update))


def every_row_counts(solution: Solution) -> None:
    """Every transition of the batch has its own target."""
    for n_rows in (1, 3, 5):
        moved = _moves_at(solution, _targets(n_rows))
        if np.abs(moved).max() > _STILL:
            raise WrongError(
                f"{n_rows} transitions, each at its own target {_targets(n_rows)}, moved by"
                f" {np.round(moved, 3)}: {_why_rows_move(solution, n_rows)}"
            )


def _moves_at(solution: Solution, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return by how much the first transitions move when Q has these values of them."""
    return WatchedUpdate(solution, *_ROWS[: len(values)], values=values.tolist()).moves()


def _why_rows_move(solution: Solution, n_rows: int) -> str:
    """Return what was done to targets that are right for one row."""
    best = _BEST_NEXT[:n_rows]
    mistakes = {
        "the largest value of the whole batch is taken for each row: max(dim=1)": [max(best)] * 5,
        "the first row's next state is taken for all rows": best[:1] * 5,
        "the last row's next state is taken for all rows": best[-1:] * 5,
        "the mean over the batch is taken for each row": [float(np.mean(best))] * 5,
        "the rows' next states are in another order": best[::-1],
    }
    for hint, values in mistakes.items():
        if np.abs(_moves_at(solution, _targets(n_rows, values))).max() <= _STILL:
            return hint
    return "row i of predicted, rewards, ended and next_states belong together"


def batch_stays(solution: Solution) -> None:
    """The batch and the settings of q_net are left as they were."""
    update = WatchedUpdate(solution, _ROWS[1])
    fields = ("states", "actions", "rewards", "next_states", "ended")
    before = [getattr(update.batch, name).clone() for name in fields]
    update.moves()
    for name, old in zip(fields, before, strict=True):
        new = getattr(update.batch, name)
        if not torch.equal(old, new):
            raise WrongError(
                f"batch.{name} was {old.tolist()} and is {new.tolist()} after the update: it was"
                " changed in place, compute a new tensor (a = a + b, not a += b)"
            )
    if not update.q_net.training:
        raise WrongError("q_net is left in eval() mode: it learns, leave it in train() mode")
    if not update.q_net.weight.requires_grad:
        raise WrongError("q_net is left with requires_grad False: it could not learn any more")


def gradients_do_not_add_up(solution: Solution) -> None:
    """Each update begins with gradients of zero."""
    update = WatchedUpdate(solution, (0, 1, 10.0, 1, True), values=[0.0])
    update.moves()
    update.set_values([10.0])
    (moved,) = update.moves()
    if abs(moved) > _STILL:
        raise WrongError(
            f"in the second update Q was at its target, and moved by {moved:+.3f}: the gradient of"
            " the first is still there, optimizer.zero_grad() is missing"
        )


def given_optimizer_is_used(solution: Solution) -> None:
    """One step of the optimizer that was passed changes the weights, and nothing else does."""
    update = WatchedUpdate(solution, *_ROWS[:3], values=(_targets(3) - _ERRORS[:3]).tolist())
    update.moves()
    others = [event for event in update.events if event.startswith("step of ")]
    n_steps = update.events.count("step")
    if others:
        raise WrongError(
            f"an optimizer that is made inside made a {others[0]}: use the given optimizer, which"
            " keeps its learning rate and its averages from call to call"
        )
    if n_steps == 0:
        raise WrongError(
            "the weights were changed without optimizer.step(), by hand: leave the step to the"
            " given optimizer"
        )
    if n_steps > 1:
        raise WrongError(
            f"optimizer.step() was called {n_steps} times in one update: once is right"
        )
    rate = update.optimizer.param_groups[0]["lr"]
    if rate != LEARNING_RATE:
        raise WrongError(f"the optimizer's learning rate was {LEARNING_RATE}, and is {rate} now")
    if update.changed_outside:
        raise WrongError("the weights were changed outside of optimizer.step(), by hand")


def given_loss_is_used(solution: Solution) -> None:
    """The step goes down the gradient of the loss function that was passed, as it is."""
    for n_rows in (3, 1, 5):  # one row does not show sums
        for size in (0.125, 1000.0):
            _check_loss(solution, size * _ERRORS[:n_rows], is_clipped=size > 1)


def _check_loss(solution: Solution, errors: NDArray[np.float64], *, is_clipped: bool) -> None:
    """Check the step that the squared error makes.

    :param errors: of each row.
    :param is_clipped: whether smaller ones were right.
    """
    n_rows = len(errors)
    values = _targets(n_rows) - errors
    update = WatchedUpdate(solution, *_ROWS[:n_rows], values=values.tolist())
    moved, expected = update.moves(nn.functional.mse_loss), LEARNING_RATE * 2 / n_rows * errors
    if update.n_losses == 0:
        raise WrongError("loss_function was called 0 times: use the one that was passed")
    if np.allclose(moved, expected, rtol=1e-3, atol=_STILL):
        return
    ratios = moved / expected
    if is_clipped:
        hint = "smaller errors are right: something is clipped, take the gradient as it is"
    elif (ratios == 0).any():
        hint = f"rows {np.flatnonzero(ratios == 0)} do not count: learn from all rows of the batch"
    elif not np.allclose(ratios, ratios[0], rtol=0.02):
        hint = "that is not the gradient of the given loss"
    elif n_rows > 1 and np.isclose(ratios[0], n_rows, rtol=0.02):
        hint = (
            f"{n_rows} times as much, so the loss is multiplied by the number of rows: take what"
            " loss_function returns for the whole batch (a mean), no sum over rows"
        )
    elif n_rows > 1 and np.isclose(ratios[0], 1 / n_rows, rtol=0.02):
        hint = f"{n_rows} times less: the loss is a mean already, do not divide it by the rows"
    elif update.events.count("gradient") > 1:
        hint = f"loss.backward() ran {update.events.count('gradient')} times"
    else:
        hint = f"{ratios[0]:.3g} times that: the loss, or its gradient, is scaled"
    raise WrongError(
        f"{n_rows} values moved by {moved.round(4)}, one step of the given optimizer down the"
        f" gradient of the given loss moves them by {expected.round(4)}; {hint}"
    )


def loss_is_returned(solution: Solution) -> None:
    """The loss is returned, as a float."""
    errors = _ERRORS[:3]
    update = WatchedUpdate(solution, *_ROWS[:3], values=(_targets(3) - errors).tolist())
    moved = update.moves(nn.functional.mse_loss)
    loss, returned = float(np.mean(errors**2)), update.returned
    if returned is None:
        raise WrongError("dqn_update returned None: end it with return loss.item()")
    if isinstance(returned, torch.Tensor):
        raise WrongError(
            f"dqn_update returned the tensor {returned}, and keeps its whole gradient in RAM with"
            " it: return a float, loss.item()"
        )
    if not isinstance(returned, (float, np.floating)):
        raise WrongError(f"dqn_update returns the loss as a float (loss.item()), got {returned!r}")
    got = float(returned)
    if abs(got - loss) > _STILL:
        hint = "return what loss_function gave"
        if abs(got - np.mean((errors - moved) ** 2)) < _STILL:
            hint = "that is the loss after the step: return the one from which the step was made"
        raise WrongError(f"the loss was {loss:g}, dqn_update returned {got:g}: {hint}")


class _Setting(NamedTuple):
    """Sizes and numbers of an update."""

    n_inputs: int
    n_actions: int
    n_rows: int
    gamma: float
    loss: Callable[..., torch.Tensor]
    optimizer: Callable[..., torch.optim.Optimizer]

    def __str__(self) -> str:
        return (
            f"{self.n_inputs} inputs, {self.n_actions} actions, {self.n_rows} rows, gamma"
            f" {self.gamma}"
        )


_SETTINGS = (
    _Setting(4, 2, 5, 0.9, nn.functional.mse_loss, torch.optim.Adam),
    _Setting(7, 3, 1, 0.0, nn.functional.smooth_l1_loss, torch.optim.SGD),
    _Setting(2, 5, 8, 0.6, nn.functional.smooth_l1_loss, torch.optim.SGD),
)


class _Learner:
    """Networks with a hidden layer and an optimizer, twice: for the student and for the judge."""

    def __init__(self, setting: _Setting, seed: int) -> None:
        self.setting = setting
        torch.manual_seed(seed)
        self.q_net, self.target_net = (
            nn.Sequential(
                nn.Linear(setting.n_inputs, 8), nn.ReLU(), nn.Linear(8, setting.n_actions)
            )
            for _ in range(2)
        )
        self.optimizer = setting.optimizer(self.q_net.parameters(), lr=0.01)
        self.right = copy.deepcopy(self.q_net)
        self.right_optimizer = setting.optimizer(self.right.parameters(), lr=0.01)

    def update(self, solution: Solution) -> float:
        """Update both with a new batch; return the largest difference of their weights."""
        n_rows, n_inputs, gamma = self.setting.n_rows, self.setting.n_inputs, self.setting.gamma
        states, next_states = torch.randn(2, n_rows, n_inputs)
        actions = torch.randint(self.setting.n_actions, (n_rows,))
        rewards, ended = torch.randn(n_rows), torch.arange(n_rows) % 2.0
        with torch.no_grad():
            best = self.target_net(next_states).amax(1)
        targets = torch.where(ended == 1, rewards, rewards + gamma * best)
        loss = self.setting.loss(self.right(states)[range(n_rows), actions], targets)
        self.right_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.right_optimizer.step()
        batch = make_batch(solution, states, actions, rewards, next_states, ended)
        solution.dqn_update(
            self.q_net, self.target_net, self.optimizer, batch, gamma, self.setting.loss
        )
        return max(self._differences())

    def _differences(self) -> Iterator[float]:
        pairs = zip(self.q_net.parameters(), self.right.parameters(), strict=True)
        for one, other in pairs:
            yield float((one - other).abs().max())


def other_sizes_work(solution: Solution) -> None:
    """Networks and batches of any size, any gamma, loss and optimizer work."""
    for number, setting in enumerate(_SETTINGS):
        difference = _Learner(setting, number).update(solution)
        if difference > _SAME_WEIGHTS:
            raise WrongError(
                f"with {setting}, {setting.loss.__name__} and {setting.optimizer.__name__} the"
                f" weights are wrong by up to {difference:.2g}: take numbers from the arguments,"
                f" sizes from the batch{global_numbers(solution)}"
            )


def nothing_survives(solution: Solution) -> None:
    """A call does not depend on calls before it."""
    learners = [_Learner(_SETTINGS[0], seed) for seed in range(2)]
    for number, learner in enumerate((*learners, learners[0], *learners, learners[0]), 1):
        difference = learner.update(solution)
        if difference > _SAME_WEIGHTS:
            raise WrongError(
                f"of several updates of two pairs of networks, number {number} is wrong by up to"
                f" {difference:.2g}: {_NOTHING_KEPT}"
            )


DQN_UPDATE = Exercise(
    functions=("dqn_update",),
    given=("Batch",),
    properties=(
        value_moves_to_target,
        other_actions_stay,
        batch_stays,
        target_network_stays,
        end_is_worth_its_reward,
        target_is_bellmans,
        every_row_counts,
        gradients_do_not_add_up,
        given_optimizer_is_used,
        given_loss_is_used,
        loss_is_returned,
        other_sizes_work,
        nothing_survives,
    ),
)
