"""Bars of known length, and Q-values of small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course import FastDQN
from sb3_atari_course.course.breakout import draw_q_values, q_values_of
from tests.fakes import FakeGame

NAMES = ["NOOP", "FIRE", "RIGHT", "LEFT"]
BLUE, ORANGE = (90, 140, 200), (240, 170, 40)
RNG = np.random.default_rng


def frame(height: int = 210, width: int = 160) -> np.ndarray:
    return RNG(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def n_columns(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    """Return how many columns of the panel have a pixel of this colour."""
    return int((picture[:, 480:] == color).all(axis=2).any(axis=0).sum())


class TestPicture:
    def test_the_screen_is_enlarged_and_left_as_it_is(self) -> None:
        screen = frame()
        picture = draw_q_values(screen, [0.1, 0.2, 0.3, 0.4], NAMES)
        assert (picture.shape, picture.dtype) == ((630, 480 + 240, 3), np.uint8)
        for i in range(3):
            for j in range(3):
                np.testing.assert_array_equal(picture[i::3, j:480:3], screen)
        np.testing.assert_array_equal(screen, frame())

    def test_a_bar_is_as_long_as_its_value(self) -> None:
        full, half = (
            n_columns(draw_q_values(frame(), [v], ["A"], limits=(0.0, 2.0)), BLUE) for v in (2, 1)
        )
        assert full == pytest.approx(216, abs=2)  # the panel without its margins
        assert half == pytest.approx(108, abs=2)

    def test_a_negative_bar_goes_left_of_zero(self) -> None:
        picture = draw_q_values(frame(), [-1.0], ["A"], limits=(-1.0, 3.0))
        columns = np.flatnonzero((picture == BLUE).all(axis=2).any(axis=0))
        assert columns.min() == pytest.approx(480 + 12, abs=2)
        assert columns.max() == pytest.approx(480 + 12 + 216 / 4, abs=2)

    def test_a_value_beyond_the_limits_is_cut_off_at_the_end(self) -> None:
        picture = draw_q_values(frame(), [9.0], ["A"], limits=(0.0, 2.0))
        np.testing.assert_array_equal(
            (picture == BLUE).all(axis=2),
            (draw_q_values(frame(), [2.0], ["A"], limits=(0.0, 2.0)) == BLUE).all(axis=2),
        )

    def test_without_limits_the_largest_value_fills_the_panel(self) -> None:
        assert n_columns(draw_q_values(frame(), [0.001], ["A"]), BLUE) == pytest.approx(216, abs=2)
        assert n_columns(draw_q_values(frame(), [0.0, 0.0], ["A", "B"]), BLUE) == 0

    def test_the_chosen_action_has_another_colour(self) -> None:
        picture = draw_q_values(frame(), [1.0, 1.0], ["A", "B"], chosen=1)
        blue, orange = (
            np.flatnonzero((picture[:, 480:] == color).all(axis=2).any(axis=1)).mean()
            for color in (BLUE, ORANGE)
        )
        assert blue < orange, "the second row of bars"
        assert n_columns(draw_q_values(frame(), [1.0, 1.0], ["A", "B"]), ORANGE) == 0

    def test_eighteen_actions_fit(self) -> None:
        names = ["DOWNRIGHTFIRE"] * 18  # the longest of all
        picture = draw_q_values(frame(), np.linspace(-100, 100, 18), names, chosen=17)
        panel = picture[:, 480:]
        is_empty = (panel == panel[0, 0]).all(axis=2)
        assert is_empty[:, :8].all(), "nothing is written into the margin"
        assert is_empty[:, -8:].all()
        for row in range(18):
            text = is_empty[35 * row : 35 * row + 17].all(axis=0)
            assert not text[:40].all(), "a name"
            assert text[130:150].all(), "a gap between name and value"
            assert is_empty[35 * row : 35 * row + 2].all(), "a gap above"

    def test_small_screens_work(self) -> None:
        assert draw_q_values(frame(64, 64), [1.0], ["A"], scale=2).shape == (128, 128 + 240, 3)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"names": ["A"]}, "one Q-value and one name for each action"),
            ({"q_values": [1.0, np.nan]}, "must be finite"),
            ({"chosen": 2}, "chosen must be an action, 0 to 1, got 2"),
            ({"chosen": -1}, "chosen must be an action, 0 to 1, got -1"),
            ({"limits": (1.0, 2.0)}, "low <= 0 <= high"),
            ({"limits": (0.0, 0.0)}, "low <= 0 <= high"),
            ({"frame": frame()[..., 0]}, "render_mode='rgb_array'"),
            ({"frame": frame() / 255.0}, "uint8"),
            ({"scale": 0}, "scale must be at least 1"),
        ],
    )
    def test_what_does_not_fit_is_named(self, change: dict[str, Any], message: str) -> None:
        arguments = {"frame": frame(), "q_values": [1.0, 2.0], "names": ["A", "B"], **change}
        positional = [arguments.pop(key) for key in ("frame", "q_values", "names")]
        with pytest.raises(ValueError, match=message):
            draw_q_values(*positional, **arguments)


def make_env() -> DummyVecEnv:
    return DummyVecEnv([lambda: FakeGame(shape=(36, 36, 4))])


def picture(seed: int = 0) -> np.ndarray:
    return RNG(seed).integers(0, 256, (36, 36, 4), dtype=np.uint8)


class TestQValues:
    @pytest.mark.parametrize("algorithm", [DQN, FastDQN])
    def test_are_what_the_network_returns(self, algorithm: type[DQN]) -> None:
        model = algorithm("CnnPolicy", make_env(), buffer_size=10, seed=0)
        q_values = q_values_of(model, picture())
        pixels = th.as_tensor(picture()).permute(2, 0, 1)[None]
        expected = model.q_net(pixels).detach().numpy()[0]
        np.testing.assert_allclose(q_values, expected, rtol=1e-6)
        assert q_values.argmax() == model.predict(picture(), deterministic=True)[0]

    def test_of_quantiles_are_their_mean(self) -> None:
        model = QRDQN(
            "CnnPolicy", make_env(), buffer_size=10, seed=0, policy_kwargs={"n_quantiles": 7}
        )
        pixels = th.as_tensor(picture()).permute(2, 0, 1)[None]
        quantiles = model.quantile_net(pixels).detach().numpy()[0]  # (7, 4)
        expected = [sum(quantiles[:, action]) / 7 for action in range(4)]
        np.testing.assert_allclose(q_values_of(model, picture()), expected, rtol=1e-5)

    def test_a_batch_gives_a_batch_and_either_order_of_channels_the_same(self) -> None:
        model = DQN("CnnPolicy", make_env(), buffer_size=10, seed=0)
        pictures = np.stack([picture(seed) for seed in range(3)])
        batch = q_values_of(model, pictures)
        assert batch.shape == (3, 4)
        np.testing.assert_allclose(batch[1], q_values_of(model, picture(1)), rtol=1e-5)
        np.testing.assert_array_equal(q_values_of(model, pictures.transpose(0, 3, 1, 2)), batch)

    def test_of_a_vector_env_without_pictures(self) -> None:
        model = DQN("MlpPolicy", "CartPole-v1", seed=0)
        assert isinstance(model.observation_space, spaces.Box)
        assert q_values_of(model, np.zeros(4, np.float32)).shape == (2,)

    def test_another_model_has_none(self) -> None:
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8)
        with pytest.raises(TypeError, match="only DQN, FastDQN and QRDQN"):
            q_values_of(model, np.zeros(4, np.float32))
