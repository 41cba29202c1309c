"""Update of a Q-network that is watched: what is done to networks, optimizer, batch and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from sb3_atari_course.course.exercises.judging import Solution, WrongError
from sb3_atari_course.course.exercises.watched_network import global_numbers

GAMMA = 0.75
LEARNING_RATE = 0.25

#: Q of the two networks: rows are states, columns actions. For each state they have another best
#: action, so that it shows which network was asked about which state.
Q_NET = [
    [1.0, 2.0, 4.0, 3.0, 6.0, 5.0],
    [3.0, 4.0, 9.0, 5.0, 8.0, 1.0],
    [7.0, 6.0, 8.0, 2.0, 3.0, 4.0],
    [0.0, 1.0, 3.0, 2.0, 5.0, 4.0],
]
TARGET_NET = [
    [28.0, 13.0, 11.0, 10.0, 14.0, 9.0],
    [12.0, 8.0, 16.0, 20.0, 4.0, 2.0],
    [22.0, 29.0, 26.0, 24.0, 23.0, 40.0],
    [33.0, 60.0, 35.0, 31.0, 36.0, 44.0],
]

#: state, action, reward, next state, whether the step ended the episode
Row = tuple[int, int, float, int, bool]

_TWO_TENSORS = "max(dim=1) returns two tensors, values and their actions: write .max(dim=1).values"
#: Parts of PyTorch's messages -> what to write instead.
_HINTS = {
    "return_types": _TWO_TENSORS,
    "converted to an index": _TWO_TENSORS,  # a tensor times these two
    "number of dimensions": "gather wants the actions as a column: batch.actions[:, None]",
    "not require grad": "`loss` has no gradient: leave out detach(), .data, .item()",
    "attribute 'backward'": "loss.backward() comes first, then loss.item() makes a number of it",
    "out of bounds for dimension 0": "that is the axis of the rows, len(batch.actions) of them"
    " (len(batch) is 5); the column of each row's action: .gather(1, batch.actions[:, None])",
    "set attribute": "a += b changes the batch: compute a new tensor, targets = a + b",
}


class Table(nn.Linear):
    """A network without a hidden layer: its weights are a Q-table. States are one-hot."""

    def __init__(self, values: list[list[float]]) -> None:
        super().__init__(len(values), len(values[0]), bias=False)
        self.weight.data = torch.tensor(values).T.contiguous()

    @property
    def values(self) -> torch.Tensor:
        """The Q-table, (n_states, n_actions)."""
        return self.weight.detach().T


def make_batch(solution: Solution, *fields: torch.Tensor) -> Any:
    """Return a student's ``Batch``.

    :param fields: states, actions, rewards, next_states, ended.
    """
    names = ("states", "actions", "rewards", "next_states", "ended")
    try:
        return solution.Batch(**dict(zip(names, fields, strict=True)))
    except TypeError:
        raise WrongError(
            f"Batch has other fields than {', '.join(names)}: keep the lesson's"
        ) from None


def _on_gradient(tensor: torch.Tensor, note: Callable[[], None]) -> Any:
    """Call a function whenever a gradient of a tensor is computed; return the handle."""
    return tensor.register_hook(lambda _: note())  # type: ignore[no-untyped-call]


class WatchedUpdate:
    """A batch, the two networks, an optimizer, and what one update does to them.

    :param rows: the transitions.
    :param values: Q of each of them by ``q_net``; default: what its table has.
    """

    def __init__(self, solution: Solution, *rows: Row, values: Sequence[float] = ()) -> None:
        states, actions, rewards, next_states, ended = map(list, zip(*rows, strict=True))
        one_hot = torch.eye(len(Q_NET))
        self.batch = make_batch(
            solution,
            one_hot[states],
            torch.tensor(actions),
            torch.tensor(rewards, dtype=torch.float32),
            one_hot[next_states],
            torch.tensor(ended, dtype=torch.float32),
        )
        self.solution, self.cells = solution, (states, actions)
        self.q_net, self.target_net = Table(Q_NET), Table(TARGET_NET)
        self.set_values(values)
        self.optimizer = torch.optim.SGD(self.q_net.parameters(), lr=LEARNING_RATE)

    def set_values(self, values: Sequence[float]) -> None:
        """Give ``q_net`` these values of the transitions."""
        if values:
            self.q_net.values[self.cells] = torch.tensor(values)

    def moves(
        self, loss_function: Callable[..., torch.Tensor] = nn.functional.smooth_l1_loss
    ) -> NDArray[np.float32]:
        """Call the student's function; return by how much the value of each row changed."""
        #: "backward" of the loss, "gradient" of q_net, "gradient of target_net", "step", and
        #: "step of X" for other optimizers
        self.events: list[str] = []
        #: the gradient that the step used, as a table; whether anything else changed the weights
        self.gradient: torch.Tensor | None = None
        self.changed_outside = False
        self.n_losses, self.called_without_gradient = 0, False
        before = self.q_net.values.clone()
        self._last = before
        with self._watching(), torch.enable_grad():  # back on, if the student switches it off
            try:
                self.returned = self.solution.dqn_update(
                    self.q_net,
                    self.target_net,
                    self.optimizer,
                    self.batch,
                    GAMMA,
                    self._watched(loss_function),
                )
            except (RuntimeError, TypeError, AttributeError, IndexError) as error:
                self._explain(error)
                raise
            self._compare_weights()
        self.change = self.q_net.values - before
        moved: NDArray[np.float32] = self.change[self.cells].numpy()
        return moved

    def _explain(self, error: Exception) -> None:
        """Raise an error of PyTorch again with a hint, if there is one."""
        hint = next((hint for part, hint in _HINTS.items() if part in str(error)), "")
        if isinstance(error, RuntimeError):
            names = global_numbers(self.solution)
            hint = hint or (names and f"take sizes from the arguments{names}")
        if hint:
            raise WrongError(f"{type(error).__name__}: {error}: {hint}") from None

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Note gradients, steps and calls of ``q_net``."""
        handles = [
            _on_gradient(self.q_net.weight, lambda: self.events.append("gradient")),
            # a function and not a method, which copy.deepcopy(q_net) would copy with all its object
            self.q_net.register_forward_hook(lambda *_: self._note_call()),
            self.optimizer.register_step_pre_hook(lambda *_: self._compare_weights()),
            register_optimizer_step_post_hook(lambda optimizer, *_: self._note_step(optimizer)),
        ]
        if self.target_net.weight.requires_grad:  # not if the student has switched it off
            event = "gradient of target_net"
            handles.append(_on_gradient(self.target_net.weight, lambda: self.events.append(event)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note_call(self) -> None:
        self.called_without_gradient |= not torch.is_grad_enabled()

    def _note_step(self, optimizer: torch.optim.Optimizer) -> None:
        if optimizer is not self.optimizer:
            self.events.append(f"step of {type(optimizer).__name__}")
            return
        self.events.append("step")
        gradient = self.q_net.weight.grad
        self.gradient = None if gradient is None else gradient.T.clone()
        self._last = self.q_net.values.clone()

    def _compare_weights(self) -> None:
        """Note whether the weights changed since the call, or since the last step."""
        self.changed_outside |= not torch.equal(self._last, self.q_net.values)

    def _watched(self, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Return a loss function that looks at what it gets."""

        def loss_function(*args: Any, **options: Any) -> torch.Tensor:
            inputs = [*args, *(options[name] for name in ("input", "target") if name in options)][
                :2
            ]
            if len(inputs) != 2 or not all(isinstance(one, torch.Tensor) for one in inputs):
                kinds = ", ".join(type(one).__name__ for one in inputs) or "nothing"
                raise WrongError(
                    f"loss_function takes two tensors, predicted and targets, and got: {kinds}"
                )
            self.n_losses += 1
            self._check_shapes(*inputs)
            if self.n_losses == 1 and not any(one.requires_grad for one in inputs):
                raise WrongError(self._why_no_gradient(*inputs))
            loss = function(*args, **options)
            if loss.requires_grad:
                _on_gradient(loss, lambda: self.events.append("backward"))
            return loss

        return loss_function

    def _check_shapes(self, first: torch.Tensor, second: torch.Tensor) -> None:
        """Refuse what would be broadcast."""
        if first.shape == second.shape or max(first.numel(), second.numel()) == 1:
            return
        larger = first if first.numel() > second.numel() else second
        n_rows, n_actions = len(self.cells[0]), len(Q_NET[0])
        hint = "a row for each transition in both: (B, 1) and (B,) make (B, B), squeeze(1) helps"
        if larger.numel() == n_rows * n_actions and larger.requires_grad:
            hint = (
                "predicted has a value for each action: choose the taken action's column (gather)"
            )
        elif larger.numel() in (n_actions, n_rows * n_actions):
            hint = (
                "targets has a value for each action: max(dim=1) is the largest value of each row"
            )
        raise WrongError(
            f"for {n_rows} transitions and {n_actions} actions, the shapes that loss_function gets"
            f" are {tuple(first.shape)} and {tuple(second.shape)}: {hint}"
        )

    def _why_no_gradient(self, *inputs: torch.Tensor) -> str:
        """Return why ``predicted`` has no gradient."""
        if not all(one.is_floating_point() for one in inputs):
            cause = "it is the number of an action (argmax, .indices), not a value"
        elif self.called_without_gradient:
            cause = "q_net(batch.states) is computed inside torch.no_grad(): only targets are"
        else:
            cause = "it is cut off from q_net: leave out detach(), .data, .item(), or the copy"
        return f"`predicted` has no gradient, so nothing can be learned: {cause}"
