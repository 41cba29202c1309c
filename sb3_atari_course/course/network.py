"""What a network is made of: its layers, their shapes and parameters, as a table and a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from sb3_atari_course.report.run_data import need_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Inches of a drawing for each layer.
_WIDTH = 1.7


class Layer(NamedTuple):
    """One layer of a network.

    :param name: of its class, ``Input`` for what comes in.
    :param shape: of its output for one observation.
    :param n_parameters: weights and biases that are learned.
    """

    name: str
    shape: tuple[int, ...]
    n_parameters: int


def list_layers(network: nn.Module, input_shape: Sequence[int]) -> list[Layer]:
    """Return the layers in the order in which an observation passes them.

    :param network: anything whose parts are modules; they are found by sending zeros through.
    :param input_shape: of one observation, without the batch.
    """
    layers = [Layer("Input", tuple(input_shape), 0)]
    for module, _, output in trace(network, torch.zeros(1, *input_shape)):
        n_parameters = sum(p.numel() for p in module.parameters())
        layers.append(Layer(type(module).__name__, tuple(output.shape[1:]), n_parameters))
    return layers


def trace(network: nn.Module, batch: torch.Tensor) -> list[tuple[Any, torch.Tensor, Any]]:
    """Send a batch through a network; return each call of a layer as (layer, input, output)."""
    calls: list[tuple[Any, torch.Tensor, Any]] = []

    def note(module: nn.Module, given: tuple[torch.Tensor, ...], output: object) -> None:
        calls.append((module, given[0], output))

    leaves = [module for module in network.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def layer_table(layers: Sequence[Layer]) -> str:
    """Return a table of the layers, the sum of the parameters below it.

    :param layers: of :func:`list_layers`.
    """
    lines = [f"{'layer':12} {'output shape':>14} {'parameters':>12}"]
    lines += [f"{name:12} {shape!s:>14} {n:12,}" for name, shape, n in layers]
    return "\n".join([*lines, f"{'':12} {'all':>14} {sum(layer[2] for layer in layers):12,}"])


def draw_network(layers: Sequence[Layer]) -> Figure:
    """Draw the layers as boxes from left to right, each with its shape.

    :param layers: of :func:`list_layers`.
    :return: the figure.
    :raises ImportError: without the extra ``plots``.
    """
    need_extra()
    from matplotlib.figure import Figure

    drawn = [layer for layer in layers if layer.name not in ("ReLU", "Flatten")]
    activated = {id(a) for a, b in pairwise(layers) if b.name == "ReLU"}
    figure = Figure(figsize=(_WIDTH * len(drawn), 1.9), dpi=100, layout="constrained")
    axes = figure.subplots()
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#e8f0fa", "edgecolor": "tab:blue"}
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    boxes = []
    for column, layer in enumerate(drawn):
        text = f"{layer.name}{' + ReLU' if id(layer) in activated else ''}\n{_shape(layer)}"
        label = axes.text(column, 0, text, fontsize=9, bbox=box, **middle)
        boxes.append(label.get_bbox_patch())
        if layer.n_parameters:
            below = f"{layer.n_parameters:,}\nparameters"
            axes.text(column, -0.75, below, fontsize=8, color="0.35", **middle)
    for column, (before, after) in enumerate(pairwise(boxes)):
        arrow = {"arrowstyle": "-|>", "color": "tab:blue", "patchA": before, "patchB": after}
        axes.annotate("", (column + 1, 0), (column, 0), arrowprops=arrow)
    axes.set(xlim=(-0.6, len(drawn) - 0.4), ylim=(-1.1, 0.6))
    axes.axis("off")
    return figure


def _shape(layer: Layer) -> str:
    return " x ".join(map(str, layer.shape)) + (" values" if len(layer.shape) == 1 else "")
