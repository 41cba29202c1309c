"""Layers of a network, as a table and a drawing."""

from __future__ import annotations

from torch import nn

from sb3_atari_course.course import draw_network, layer_table, list_layers
from sb3_atari_course.course.network import Layer

NETWORK = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Sequential(nn.Linear(64, 2)))
LAYERS = [
    Layer("Input", (4,), 0),
    Layer("Linear", (64,), 4 * 64 + 64),
    Layer("ReLU", (64,), 0),
    Layer("Linear", (2,), 64 * 2 + 2),
]


def test_layers_are_listed_in_the_order_of_the_data() -> None:
    assert list_layers(NETWORK, (4,)) == LAYERS
    assert not any(module._forward_hooks for module in NETWORK.modules())


def test_images_keep_their_shape() -> None:
    layers = list_layers(nn.Sequential(nn.Conv2d(4, 32, 8, 4), nn.Flatten()), (4, 84, 84))
    assert [layer.shape for layer in layers] == [(4, 84, 84), (32, 20, 20), (32 * 20 * 20,)]


def test_the_table_sums_the_parameters() -> None:
    lines = layer_table(LAYERS).splitlines()
    assert lines[2].split() == ["Linear", "(64,)", "320"]
    assert lines[-1].split() == ["all", "450"]


def test_the_drawing_joins_a_relu_to_its_layer() -> None:
    texts = [text.get_text() for text in draw_network(LAYERS).axes[0].texts]
    boxes = [text for text in texts if "\n" in text and "parameters" not in text]
    assert boxes == ["Input\n4 values", "Linear + ReLU\n64 values", "Linear\n2 values"]
    assert "320\nparameters" in texts
