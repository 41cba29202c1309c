"""Exercise 3, ``build_cnn``: the network of the DQN paper."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from sb3_atari_course.course.exercises.judging import Exercise, Solution, WrongError
from sb3_atari_course.course.exercises.watched_network import (
    Pass,
    global_numbers,
    name_function,
    same_numbers,
)

#: Mnih et al. 2015, Methods, "Model architecture".
_CONVOLUTIONS = [
    "32 filters of 8 x 8, stride 4",
    "64 filters of 4 x 4, stride 2",
    "64 filters of 3 x 3, stride 1",
]
_HIDDEN = 512


def _stacks(n_stacks: int, n_stack: int = 4) -> torch.Tensor:
    """Return random frames, (n_stacks, n_stack, 84, 84) float32 in 0..1."""
    pixels = np.random.default_rng(0).random((n_stacks, n_stack, 84, 84), dtype=np.float32)
    return torch.as_tensor(pixels)


def _build(solution: Solution, n_actions: int = 4, n_stack: int | None = None) -> nn.Module:
    """Return a student's network.

    :raises WrongError: if it returns something else.
    """
    if n_stack is None:
        network = solution.build_cnn(n_actions)
    else:
        network = solution.build_cnn(n_actions, n_stack=n_stack)
    if isinstance(network, nn.Module):
        return network
    kind = type(network).__name__
    got = f"build_cnn returned {kind}"
    if network is None:
        raise WrongError("build_cnn returned None: return the network (return nn.Sequential(...))")
    if isinstance(network, type):
        name = network.__name__
        raise WrongError(f"build_cnn returned the class {name}, not a network: return {name}(...)")
    if isinstance(network, (list, tuple)):
        raise WrongError(f"{got} of {len(network)}: return nn.Sequential(*layers), one network")
    if isinstance(network, torch.Tensor):
        raise WrongError(f"{got}: return the network itself, do not call it in build_cnn")
    if callable(network):
        raise WrongError(f"{got}, which has no weights to learn: return an nn.Module")
    hint = f": class {kind}(nn.Module)" if kind in vars(solution) else ", return the network"
    raise WrongError(f"{got}, not an nn.Module{hint}")


def returns_a_network(solution: Solution) -> None:
    """It returns a network of PyTorch, which can be called."""
    run = Pass(_build(solution), _stacks(2), needs_values=False)
    if not run.weighted and run.failed is None:
        raise WrongError(
            "the network calls no nn.Conv2d and no nn.Linear: make its layers of these, the lesson"
            " lists them"
        )


def _describe(layer: nn.Module) -> str:
    """Return what a layer is, in the words of the lesson, and what is unusual about it."""
    if isinstance(layer, nn.Linear):
        return f"{layer.out_features} units" + (" without bias" if layer.bias is None else "")
    assert isinstance(layer, nn.Conv2d)
    (height, width), strides = layer.kernel_size, set(layer.stride)
    stride = layer.stride[0] if len(strides) == 1 else layer.stride
    text = f"{layer.out_channels} filters of {height} x {width}, stride {stride}"
    padding: Any = layer.padding
    extras = {
        f"padding {padding}": padding not in ((0, 0), "valid"),
        f"dilation {layer.dilation}": layer.dilation != (1, 1),
        f"{layer.groups} groups": layer.groups != 1,
        "no bias": layer.bias is None,
    }
    return ", ".join([text, *(extra for extra, is_there in extras.items() if is_there)])


def _layers(run: Pass, kind: type[nn.Module]) -> list[str]:
    """Describe the layers of a kind in the order in which they were called, the failed one too."""
    layers = [call.layer for call in run.calls if isinstance(call.layer, kind)]
    if isinstance(run.failed, kind):
        layers.append(run.failed)
    return [_describe(layer) for layer in layers]


def convolutions_are_the_papers(solution: Solution) -> None:
    """Three convolutions: 32 of 8 x 8 by 4, 64 of 4 x 4 by 2, 64 of 3 x 3 by 1, no padding."""
    run = Pass(_build(solution), _stacks(2), needs_values=False)
    found = _layers(run, nn.Conv2d)
    if found == _CONVOLUTIONS:
        _check_nothing_else(run)
        return
    if isinstance(run.failed, nn.Conv2d) and found[:-1] == _CONVOLUTIONS[: len(found) - 1]:
        Pass(_build(solution), _stacks(2))  # raises
    wrong = next((one for one in found if one not in _CONVOLUTIONS), "")
    hint = f"{wrong!r} is not among them" if wrong else f"there are {len(found)} of them"
    if "padding" in wrong:
        hint = f"{wrong!r}: leave the padding out, so that 84 becomes 20"
    elif sorted(found) == sorted(_CONVOLUTIONS):
        hint = "their order in forward is wrong"
    raise WrongError(f"the convolutions are {found}, asked for are {_CONVOLUTIONS}; {hint}")


def _check_nothing_else(run: Pass) -> None:
    """Refuse what makes smaller or larger images than convolutions do."""
    for number, call in enumerate(run.weighted[: 4 if run.failed is None else None]):
        others = [name for name in run.between(number) if "Pool" in name or "Pad" in name]
        if others:
            raise WrongError(
                f"after {_describe(call.layer)} comes {others[0]}: the network of the paper has"
                " none, the strides alone make the images smaller"
            )


def linear_layers_are_the_papers(solution: Solution) -> None:
    """Then 512 units, then one for each action."""
    network = _build(solution)
    run = Pass(network, _stacks(2), needs_values=False)
    found, right = _layers(run, nn.Linear), [f"{_HIDDEN} units", "4 units"]
    if run.failed is None or found != right[: len(found)]:
        _check_linear(found, right)
    Pass(network, _stacks(2))  # raises if a layer has failed


def _check_linear(found: list[str], right: list[str]) -> None:
    if found == right:
        return
    hint = f"there are {len(found)} of them, not 2"
    if len(found) == 2:
        hint = next(
            f"{one}, not {other}" for one, other in zip(found, right, strict=True) if one != other
        )
    raise WrongError(f"the linear layers for 4 actions have {found}, asked for are {right}: {hint}")


def values_for_each_action(solution: Solution) -> None:
    """A batch of stacks (B, n_stack, 84, 84) gives a value for each action, (B, n_actions)."""
    for n_actions, n_stack, n_stacks in ((4, 4, 1), (18, 4, 2), (1, 4, 3), (6, 2, 3), (3, 1, 1)):
        network = _build(solution, n_actions, n_stack)
        asked = f"build_cnn({n_actions}, n_stack={n_stack})"
        run = Pass(network, _stacks(n_stacks, n_stack), needs_values=False)
        first = run.weighted[0].layer if run.weighted else run.failed
        if isinstance(first, nn.Conv2d) and first.in_channels != n_stack:
            raise WrongError(
                f"{asked}: the first convolution takes {first.in_channels} channels, not n_stack"
                f" = {n_stack}: {_other_sizes(solution, first.in_channels)}"
            )
        last = run.weighted[-1].layer if run.weighted else None
        if isinstance(last, nn.Linear) and last.out_features != n_actions:
            raise WrongError(
                f"{asked}: the last layer has {last.out_features} units, not n_actions ="
                f" {n_actions}: {_other_sizes(solution, last.out_features)}"
            )
        values = Pass(network, _stacks(n_stacks, n_stack)).values
        assert values is not None
        if tuple(values.shape) != (n_stacks, n_actions):
            raise WrongError(
                f"{asked}: the values of {n_stacks} stacks have the shape {tuple(values.shape)},"
                f" not {(n_stacks, n_actions)}"
            )
        if values.dtype != torch.float32:
            raise WrongError(f"the values are {values.dtype}: leave PyTorch's float32 as it is")


def _other_sizes(solution: Solution, size: int) -> str:
    """Return what to do about a size that does not come from the arguments."""
    return f"networks of other sizes are tried, use the argument{global_numbers(solution, size)}"


def pixels_are_taken_as_they_are(solution: Solution) -> None:
    """The first layer gets the pixels as they are, in 0..1."""
    stacks, before = _stacks(2), _stacks(2)
    run = Pass(_build(solution), stacks)
    given, before_it = run.weighted[0].given, run.between(-1)
    if not torch.equal(stacks, before):
        raise WrongError(
            "forward changes its input in place (x /= ..., x.div_, ...): the batch belongs to the"
            " caller"
        )
    if given is None or (given.shape == stacks.shape and torch.allclose(given, stacks)):
        return
    hint = ""
    if before_it:
        hint = f": {', '.join(before_it)} stands before it"
    elif torch.equal(given, given.round()):
        hint = ": as integers (uint8) they lose their fraction"
    elif given.max() < 0.01:
        hint = ": they are in 0..1 already, the training loop divides by 255"
    raise WrongError(
        f"pixels of 0 to 1 are {float(given.min()):.3g} to {float(given.max()):.3g} when they"
        f" reach the first layer, shape {tuple(given.shape)}{hint}"
    )


def same_stack_same_values(solution: Solution) -> None:
    """The values of a stack are always the same, and do not depend on the others of its batch."""
    network, stacks = _build(solution), _stacks(8)
    layers = [call.layer for call in Pass(network, stacks).weighted]
    _randomize(layers[-1:])  # zeros would hide differences
    first, second, alone = (Pass(network, one) for one in (stacks, stacks, stacks[3:4]))
    modules = {name for number in range(len(first.weighted)) for name in first.between(number)}
    if not _close(first.values, second.values):
        names = [name for name in modules if "Drop" in name]
        hint = (
            f"{names[0]}: it leaves out units at random"
            if names
            else "dropout, noise, or something kept from the pass before"
        )
        raise WrongError(
            "the same stacks have other values in a second pass: there is something random in the"
            f" network ({hint}), the network of the paper has none"
        )
    if not _close(first.values[3:4], alone.values):  # type: ignore[index]
        names = [name for name in modules if "Norm" in name]
        hint = f"{names[0]} takes means over the batch" if names else "does the reshape mix rows?"
        raise WrongError(
            f"a stack has other values alone than in a batch: {hint}; each row is for itself"
            " (Flatten keeps the batch)"
        )


def _close(values: torch.Tensor | None, others: torch.Tensor | None) -> bool:
    assert values is not None
    assert others is not None
    return values.shape == others.shape and torch.allclose(values, others, rtol=1e-3, atol=1e-4)


def _randomize(layers: list[Any], scale: float = 1.4) -> None:
    """Give layers random weights.

    :param scale: how much larger than its inputs the first layer's outputs are about; those of the
        others are as large as their inputs, if there is a ReLU.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters(recurse=False):
                size = parameter[0].numel() if parameter.ndim > 1 else 1
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * scale / size**0.5)
            scale = 1.4


def layers_are_not_linear(solution: Solution) -> None:
    """A ReLU stands between each two layers, and none after the last."""
    network = _build(solution)
    _randomize([call.layer for call in Pass(network, _stacks(1)).weighted], 20.0)
    run = Pass(network, _stacks(4))
    for number, (before, after) in enumerate(pairwise(run.weighted)):
        if not same_numbers(after.given, torch.relu(before.output)):
            found = ", ".join(run.between(number)) or name_function(before.output, after.given)
            raise WrongError(
                f"after layer {number + 1} ({_describe(before.layer)}) comes {found}; a ReLU and"
                " nothing else belongs between it and the next layer"
            )
    values, output = run.values, run.weighted[-1].output
    if same_numbers(values, output) and not _close(values, output):
        raise WrongError("the values are not in the order of the last layer's units")
    if not _close(values, output):
        found = ", ".join(run.between(len(run.weighted) - 1)) or name_function(output, values)
        raise WrongError(
            f"after the last layer comes {found}: Q-values may be negative and of any size, return"
            " what the last layer gives"
        )


def every_layer_learns(solution: Solution) -> None:
    """Every layer is registered, starts with random weights and gets a gradient."""
    network = _build(solution)
    layers = [call.layer for call in Pass(network, _stacks(1)).weighted]
    registered = {id(module) for module in network.modules()}
    for number, layer in enumerate(layers, 1):
        which = f"layer {number} ({_describe(layer)})"
        if id(layer) not in registered:
            raise WrongError(
                f"{which} is not part of the network, network.parameters() lacks its weights: make"
                " layers in __init__, as attributes; a list of them is an nn.ModuleList"
            )
        weights = layer.weight.detach().flatten(1)
        if layer is not layers[-1] and torch.equal(weights, weights[:1].expand_as(weights)):
            raise WrongError(
                f"all {len(weights)} units of {which} start with the same weights, and would learn"
                " the same: leave PyTorch's random weights"
            )
    learned = {id(parameter) for layer in layers for parameter in layer.parameters()}
    others = [name for name, one in network.named_parameters() if id(one) not in learned]
    if others:
        n_parameters = sum(one.numel() for one in network.parameters())
        raise WrongError(
            f"{n_parameters:,} parameters, the five layers have 1,686,180: {', '.join(others)} is"
            " made, but none of these layers uses it"
        )
    _randomize(layers)
    _check_gradients(network, layers)


def _check_gradients(network: nn.Module, layers: list[Any]) -> None:
    """Check that a gradient reaches each layer."""
    frozen = [_describe(layer) for layer in layers if not layer.weight.requires_grad]
    if frozen:
        raise WrongError(f"the weights of {', '.join(frozen)} are frozen (requires_grad is False)")
    values = Pass(network, _stacks(2), gradient=True).values
    assert values is not None
    if values.requires_grad:
        try:
            values.square().mean().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise WrongError(f"loss.backward() fails for this network: {error}") from None
    dead = [
        _describe(one) for one in layers if one.weight.grad is None or not one.weight.grad.any()
    ]
    if dead:
        raise WrongError(
            f"no gradient reaches {', '.join(dead)}, so they cannot learn: leave detach(), .data,"
            " no_grad and NumPy out of forward"
        )


def networks_share_nothing(solution: Solution) -> None:
    """Each call makes a new network: q_net and target_net share no weights."""
    first, second = _build(solution), _build(solution)
    for network in (first, second):
        Pass(network, _stacks(1))  # makes lazy layers
    if first is second:
        raise WrongError(
            "two calls returned the same network, q_net and target_net would be one: make it inside"
            " of build_cnn"
        )
    shared = {p.data_ptr() for p in first.parameters()} & {
        p.data_ptr() for p in second.parameters()
    }
    if shared:
        raise WrongError(
            f"two networks share {len(shared)} tensors of weights, q_net and target_net would learn"
            " together: make all layers inside of build_cnn"
        )


BUILD_CNN = Exercise(
    functions=("build_cnn",),
    properties=(
        returns_a_network,
        convolutions_are_the_papers,
        linear_layers_are_the_papers,
        values_for_each_action,
        pixels_are_taken_as_they_are,
        same_stack_same_values,
        layers_are_not_linear,
        every_layer_learns,
        networks_share_nothing,
    ),
)
