"""From stacked screens to features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_atari_course import AtariCNN, make_atari_env
from sb3_atari_course.cnn import smallest_side

SCREENS = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def test_the_network_of_the_paper() -> None:
    cnn = AtariCNN(SCREENS)
    x = th.rand(2, 4, 84, 84)
    shapes = []
    for module in [*cnn.cnn, *cnn.linear]:
        x = module(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[::2] == [(32, 20, 20), (64, 9, 9), (64, 7, 7), (3136,), (512,)]
    assert sum(p.numel() for p in cnn.parameters()) == 1_684_128  # as the docstring says


def test_it_computes_what_sb3s_computes() -> None:
    ours, theirs = AtariCNN(SCREENS), NatureCNN(SCREENS)
    theirs.load_state_dict(ours.state_dict())
    x = th.rand(3, 4, 84, 84)
    th.testing.assert_close(ours(x), theirs(x))


def test_layers_and_width_can_be_chosen() -> None:
    cnn = AtariCNN(
        spaces.Box(0, 255, (2, 42, 50), np.uint8),
        layers=[[16, 4, 2], [32, 3, 2]],
        features_dim=64,
    )
    assert cnn(th.rand(5, 2, 42, 50)).shape == (5, 64)
    assert cnn.features_dim == 64


@pytest.mark.parametrize(
    ("activation_fn", "at_minus_one"),
    [("relu", 0.0), ("leaky_relu", -0.2), (nn.LeakyReLU, -0.01), (nn.ReLU, 0.0)],
)
def test_activations(activation_fn: Any, at_minus_one: float) -> None:
    cnn = AtariCNN(SCREENS, activation_fn=activation_fn)
    for module in (cnn.cnn[1], cnn.cnn[3], cnn.cnn[5], cnn.linear[1]):
        assert module(th.tensor(-1.0)).item() == pytest.approx(at_minus_one)


def test_he_initialisation() -> None:
    th.manual_seed(0)
    cnn = AtariCNN(SCREENS, weight_init="he")
    for layer, fan_in in (
        (cnn.cnn[0], 4 * 8 * 8),
        (cnn.cnn[2], 32 * 4 * 4),
        (cnn.cnn[4], 64 * 3 * 3),
        (cnn.linear[0], 64 * 7 * 7),
    ):
        assert layer.weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
        assert layer.weight.abs().max() < 2.3 * (2 / fan_in) ** 0.5  # truncated
        assert (layer.bias == 0).all()


def test_default_initialisation_is_pytorchs() -> None:
    cnn = AtariCNN(SCREENS)
    assert cnn.cnn[0].weight.abs().max() <= (4 * 8 * 8) ** -0.5
    assert (cnn.cnn[0].bias != 0).any()


def test_the_smallest_screen() -> None:
    AtariCNN(spaces.Box(0, 255, (4, 36, 36), np.uint8))
    with pytest.raises(ValueError, match=r"36 x 35 pixels is too small.*smallest side .* 36"):
        AtariCNN(spaces.Box(0, 255, (4, 36, 35), np.uint8))
    assert smallest_side([(16, 4, 2)]) == 4
    assert smallest_side([(16, 4, 2), (16, 3, 1)]) == 8


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(0, 1, (4, 84, 84), np.float32),
        spaces.Discrete(3),
        spaces.Box(0, 255, (84, 84), np.uint8),
    ],
)
def test_an_observation_that_is_no_image_is_refused(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"needs uint8 images .* got (Box|Discrete)"):
        AtariCNN(space)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"activation_fn": "tanh"}, "activation_fn must be one of .* got 'tanh'"),
        ({"weight_init": "xavier"}, "weight_init must be .* got 'xavier'"),
        ({"layers": []}, "layers must be triples"),
        ({"layers": [(32, 8)]}, "layers must be triples"),
        ({"layers": [32, 8, 4]}, "layers must be triples"),
        ({"activation_fn": 42}, "activation_fn must be one of .* got 42"),
        ({"layers": [(32, 8, 0)]}, "at least 1, got 0"),
        ({"features_dim": 0}, "features_dim must be at least 1, got 0"),
    ],
)
def test_a_wrong_value_is_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AtariCNN(SCREENS, **kwargs)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (spaces.Box(-10, 10, (84, 84, 4), np.float32), "VecNormalize"),  # as it makes it
        (spaces.Box(0, 1, (4, 84, 84), np.float64), "uint8 images"),
        (spaces.Box(0, 1, (4, 84, 84), np.uint8), "0 and 255"),
        (spaces.Box(0, 255, (84, 84), np.uint8), "wrap_atari"),
        (spaces.Discrete(3), "wrap_atari"),
    ],
)
def test_the_remedy_fits_what_is_wrong(space: spaces.Space[Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        AtariCNN(space)
    assert ("wrap_atari" in str(caught.value)) == (named == "wrap_atari")


@pytest.mark.parametrize(("algorithm", "kwargs"), [(DQN, {"buffer_size": 10}), (PPO, {})])
def test_normalised_images_name_vecnormalize(algorithm: Any, kwargs: dict[str, Any]) -> None:
    env = VecNormalize(make_atari_env("BreakoutNoFrameskip-v4", 1, native=True))
    policy_kwargs = {"features_extractor_class": AtariCNN}
    with pytest.raises(ValueError, match="norm_obs=False to VecNormalize"):
        algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, **kwargs)
    env.close()


def test_a_stack_that_was_stacked_again_is_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"AtariCNN .*16 channels.*VecFrameStack"):
        AtariCNN(spaces.Box(0, 255, (16, 84, 84), np.uint8))
    AtariCNN(spaces.Box(0, 255, (12, 84, 84), np.uint8))  # four colour frames


def test_an_unknown_argument_is_named_with_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"feature_dim=64: did you mean features_dim\?"):
        AtariCNN(SCREENS, feature_dim=64)  # type: ignore[call-arg]


def test_channels_last_are_named() -> None:
    with pytest.raises(ValueError, match=r"channels first, got shape \(84, 84, 4\).*Transpose"):
        AtariCNN(spaces.Box(0, 255, (84, 84, 4), np.uint8))
