"""Pass of a batch through a network that is watched: which layers were called, with what."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from sb3_atari_course.course.exercises.judging import Solution, WrongError

#: Layers with weights.
Weighted = nn.Conv2d | nn.Linear

#: Functions that stand between two layers, by what one calls them.
FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "no ReLU": lambda x: x,
    "ReLU": torch.relu,
    "LeakyReLU": nn.functional.leaky_relu,
    "ELU": nn.functional.elu,
    "GELU": nn.functional.gelu,
    "SiLU": nn.functional.silu,
    "ReLU6": nn.functional.relu6,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Softplus": nn.functional.softplus,
    "Softmax": lambda x: torch.softmax(x, 1),
    "LogSoftmax": lambda x: torch.log_softmax(x, 1),
    "abs": torch.abs,
    "a clamp to 0..1": lambda x: x.clamp(0, 1),
    "a clamp to -1..1": lambda x: x.clamp(-1, 1),
}


@dataclass(frozen=True)
class Call:
    """A call of a layer, or of another module without parts.

    :param layer: the module.
    :param given: its input, a copy; ``None`` if it got no tensor.
    :param output: what it returned, a copy.
    """

    layer: Any
    given: torch.Tensor | None
    output: torch.Tensor

    @property
    def name(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__

    @property
    def is_weighted(self) -> bool:
        """Whether it is a convolution or a linear layer."""
        return isinstance(self.layer, Weighted)


class Pass:
    """What happens as a batch goes through a network, in training mode.

    :param network: what a student's function returned.
    :param stacks: (B, n_stack, 84, 84).
    :param needs_values: whether a layer that fails is an error; else ``values`` is ``None`` then.
    :param gradient: whether a gradient is kept.
    :raises WrongError: if the network cannot be called, or returns something else than a tensor.
    """

    def __init__(
        self,
        network: nn.Module,
        stacks: torch.Tensor,
        *,
        needs_values: bool = True,
        gradient: bool = False,
    ) -> None:
        self.calls: list[Call] = []
        self.values: torch.Tensor | None = None
        #: The convolution or linear layer that could not take its input.
        self.failed: nn.Module | None = None
        self._inside: list[tuple[nn.Module, Any]] = []
        network.train()
        with self._watching(), torch.set_grad_enabled(gradient):
            try:
                self.values = network(stacks)
            except Exception as error:
                failure = self._describe(error)
                layer = self._inside[-1][0] if self._inside else None
                if not failure:
                    raise  # from the student's forward
                if needs_values or not isinstance(layer, Weighted):
                    raise WrongError(failure) from None
                self.failed = layer
                return
        if not isinstance(self.values, torch.Tensor):
            kind = type(self.values).__name__
            hint = ": its forward ends with return" if self.values is None else ""
            raise WrongError(f"the network returned {kind}, not a tensor of Q-values{hint}")

    @property
    def weighted(self) -> list[Call]:
        """The calls of convolutions and linear layers."""
        return [call for call in self.calls if call.is_weighted]

    def between(self, number: int) -> list[str]:
        """Return the names of modules called after a layer with weights, before the next one.

        :param number: of the layer, from 0; -1 for what comes before the first. ReLU and what
            changes only the shape is left out.
        """
        positions = [-1, *(i for i, call in enumerate(self.calls) if call.is_weighted)]
        ends = [*positions[1:], len(self.calls)]
        number += 1
        quiet = (nn.ReLU, nn.Flatten, nn.Unflatten, nn.Identity)
        found = self.calls[positions[number] + 1 : ends[number]]
        return [call.name for call in found if not isinstance(call.layer, quiet)]

    @contextmanager
    def _watching(self) -> Iterator[None]:
        handles = [
            register_module_forward_pre_hook(self._begin),
            register_module_forward_hook(self._end, with_kwargs=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        if not list(layer.children()):
            self._inside.append((layer, args[0] if args else None))

    def _end(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if list(layer.children()):
            return
        self._inside.pop()
        first = [*args, *kwargs.values()][0] if args or kwargs else None
        if isinstance(output, torch.Tensor):
            given = first.detach().clone() if isinstance(first, torch.Tensor) else None
            self.calls.append(Call(layer, given, output.detach().clone()))

    def _describe(self, error: Exception) -> str:
        """Return an error as a message; empty if it comes from the student's own lines."""
        text = f"{type(error).__name__}: {str(error).strip()}"
        if self._inside and isinstance(self._inside[-1][0], Weighted):
            return _why_it_fails(*self._inside[-1], text)
        if isinstance(error, NotImplementedError) and "forward" in str(error):
            return f"the network has no forward: {text}"
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.startswith("<") for frame in frames):
            return ""
        return f"calling the network failed: {text}"


def _why_it_fails(layer: nn.Module, given: Any, text: str) -> str:
    """Return why a layer with weights does not take an input.

    :param text: of the error.
    """
    if not isinstance(given, torch.Tensor):
        return f"{layer} cannot take a {type(given).__name__}: {text}"
    n_axes, dtype = (4 if isinstance(layer, nn.Conv2d) else 2), next(layer.parameters()).dtype
    hint = ""
    if given.dtype != dtype:
        hint = f"its weights are {dtype}, the input is {given.dtype}: leave both in float32"
    elif isinstance(layer, nn.Conv2d) and given.ndim != n_axes:
        hint = "leave the axes as they are, (B, n_stack, 84, 84)"
    elif given.ndim > n_axes:
        hint = "flatten what comes before it, nn.Flatten()"
    elif given.ndim < n_axes or len(given) == 1:
        hint = "keep the axis of the batch, one row for each stack: nn.Flatten()"
    elif isinstance(layer, nn.Linear):
        hint = f"it takes {layer.in_features} numbers and gets {given.shape[1]}"
    elif isinstance(layer, nn.Conv2d):
        hint = f"it takes {layer.in_channels} channels and gets {given.shape[1]}"
    return f"{layer} cannot take its input of shape {tuple(given.shape)}: {hint} ({text})"


def same_numbers(given: torch.Tensor | None, right: torch.Tensor) -> bool:
    """Return whether each row has the same numbers, in any order and shape."""
    if given is None or given.numel() != right.numel() or given.shape[:1] != right.shape[:1]:
        return False
    one, other = (rows.flatten(1).double().sort(dim=1).values for rows in (given, right))
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(right.abs().max()) + 1e-9)


def name_function(given: torch.Tensor, result: torch.Tensor | None) -> str:
    """Return which of :data:`FUNCTIONS` makes one tensor of another, or what it looks like."""
    for name, function in FUNCTIONS.items():
        if same_numbers(result, function(given)):
            return name
    if result is None:
        return "something else"
    span = f"{float(given.min()):.3g} to {float(given.max()):.3g}"
    made = f"{float(result.min()):.3g} to {float(result.max()):.3g}"
    return (
        f"something else (it makes {tuple(result.shape)}, {made}, of {tuple(given.shape)}, {span})"
    )


def global_numbers(solution: Solution, value: int | None = None) -> str:
    """Return a hint at numbers that a student's function takes from outside, if there are any.

    :param value: look for numbers that are this.
    """
    names = [
        name
        for name, number in vars(solution).items()
        if isinstance(number, (int, np.integer))
        and not isinstance(number, bool)
        and value in (None, number)
    ]
    if not names:
        return ""
    return f" (your code uses {', '.join(names)} from outside of the function)"
