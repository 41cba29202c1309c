"""Exercise 3, ``build_cnn``: the network of the DQN paper."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.network import list_layers, trace

#: Output channels, kernel, stride; Mnih et al. 2015, Methods, "Model architecture".
_CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
_HIDDEN = 512


def _stacks(n_stacks: int, n_stack: int = 4) -> torch.Tensor:
    """Return random pictures, (n_stacks, n_stack, 84, 84) float32 in 0..1."""
    pixels = np.random.default_rng(0).random((n_stacks, n_stack, 84, 84), dtype=np.float32)
    return torch.as_tensor(pixels)


def values_for_each_action(solution: Solution) -> None:
    """A batch of stacks (B, 4, 84, 84) gives a value for each action, (B, n_actions)."""
    for n_actions in (4, 18):
        network = solution.build_cnn(n_actions)
        if not isinstance(network, torch.nn.Module):
            raise WrongError(f"build_cnn returns a torch.nn.Module, got {type(network).__name__}")
        shape = tuple(network(_stacks(2)).shape)
        if shape != (2, n_actions):
            raise WrongError(f"for 2 stacks and {n_actions} actions the shape is {shape}")
    shape = tuple(solution.build_cnn(4, n_stack=2)(_stacks(3, 2)).shape)
    if shape != (3, 4):
        raise WrongError(f"with n_stack=2, for 3 stacks and 4 actions, the shape is {shape}")


def _calls(network: torch.nn.Module, stacks: torch.Tensor) -> list[tuple[Any, torch.Tensor]]:
    """Return the layers with weights in the order in which they are called, with their inputs."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    calls = [(one, given) for one, given, _ in trace(network, stacks) if isinstance(one, kinds)]
    if not calls:
        raise WrongError("the network calls no convolution and no linear layer of torch.nn")
    return calls


def convolutions_are_the_papers(solution: Solution) -> None:
    """Three convolutions: 32 of 8 x 8 by 4, 64 of 4 x 4 by 2, 64 of 3 x 3 by 1, no padding."""
    network = solution.build_cnn(4)
    with contextlib.suppress(Exception):  # that is for the next property
        _calls(network, _stacks(1))  # lazy layers are made now
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    found = sorted(_describe(layer) for layer in layers)
    expected = [f"{n} of {k} x {k} by {s}" for n, k, s in _CONVOLUTIONS]
    if found != sorted(expected):
        raise WrongError(f"the convolutions are {found}, asked for are {expected}")


def _describe(convolution: torch.nn.Conv2d) -> str:
    height, width = convolution.kernel_size
    text = f"{convolution.out_channels} of {height} x {width} by {convolution.stride[0]}"
    padding: Any = convolution.padding
    return text if padding in ((0, 0), "valid") else f"{text} with padding {padding}"


def parameters_are_the_papers(solution: Solution) -> None:
    """It has 1,686,180 parameters for 4 actions: 512 units between pictures and values."""
    network = solution.build_cnn(4)
    _calls(network, _stacks(1))
    n_parameters = sum(p.numel() for p in network.parameters())
    if n_parameters != 1_686_180:
        layers = list_layers(network, (4, 84, 84))
        shapes = ", ".join(f"{layer.name} {layer.shape}" for layer in layers if layer.n_parameters)
        raise WrongError(
            f"{n_parameters:,} parameters; 8,224 + 32,832 + 36,928 of the convolutions,"
            f" 3136 * {_HIDDEN} + {_HIDDEN} of the hidden layer, {_HIDDEN} * 4 + 4 of the last one"
            f" make 1,686,180. Yours: {shapes}"
        )


def pixels_are_taken_as_they_are(solution: Solution) -> None:
    """The first layer gets the pixels as they are, in 0..1."""
    stacks = _stacks(2)
    given = _calls(solution.build_cnn(4), stacks)[0][1]
    if given.shape != stacks.shape or not torch.allclose(given, stacks):
        hint = ""
        if given.max() < 0.01:
            hint = ": they are in 0..1 already, the training loop divides by 255"
        raise WrongError(
            f"pixels of 0 to 1 are {float(given.min()):.3g} to {float(given.max()):.3g} when they"
            f" reach the first layer, shape {tuple(given.shape)}{hint}"
        )


def layers_are_not_linear(solution: Solution) -> None:
    """A ReLU stands between each two layers, and none after the last."""
    network = solution.build_cnn(4)
    calls = _calls(network, _stacks(64))
    for number, ((before, _), (layer, given)) in enumerate(pairwise(calls), 1):
        if given.min() != 0:
            raise WrongError(
                f"the smallest number that layer {number + 1} ({type(layer).__name__}) gets is"
                f" {given.min():.2g}: a ReLU is missing after layer {number}"
                f" ({type(before).__name__})"
            )
    with torch.no_grad():
        values = network(_stacks(64))
        for parameter in calls[-1][0].parameters():
            parameter.mul_(-1)
        turned = network(_stacks(64))
    if not torch.allclose(values, -turned, atol=1e-5):
        raise WrongError(
            "the values are not those of a linear layer: Q-values may be negative and of any size,"
            " no ReLU, sigmoid or softmax comes after the last layer"
        )


def stacks_do_not_mix(solution: Solution) -> None:
    """The values of a stack do not depend on the others of its batch."""
    network = solution.build_cnn(4)
    stacks = _stacks(8)
    with torch.no_grad():
        together, alone = network(stacks)[3], network(stacks[3:4])[0]
    if not torch.allclose(together, alone, atol=1e-4):
        raise WrongError(
            "a stack has other values alone than in a batch: is a BatchNorm in it, or does the"
            " reshape mix rows? (Flatten keeps the batch)"
        )


BUILD_CNN = Exercise(
    functions=("build_cnn",),
    properties=(
        convolutions_are_the_papers,
        values_for_each_action,
        pixels_are_taken_as_they_are,
        parameters_are_the_papers,
        layers_are_not_linear,
        stacks_do_not_mix,
    ),
)
