"""Tests of the observation wrappers."""

from __future__ import annotations

import hashlib
import warnings
from copy import deepcopy
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import GrayscaleObservation
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import WarpFrame
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from sb3_atari_course.wrappers import CropGrayResize, FrameStack, crop_gray_resize
from sb3_atari_course.wrappers.screen import warn_if_stacked_twice
from tests import naive
from tests.fakes import FakeGame

FIELD = (30, 195, 5, 155)


def sha(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]


def screens_of_a_game(game: str, every: int = 4) -> NDArray[np.uint8]:
    """Return every fourth RGB screen of a full game with random actions, (n, H, W, 3)."""
    env = gym.make(f"{game}NoFrameskip-v4", max_num_frames_per_episode=4000)
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    screens, terminated, truncated, frame = [obs], False, False, 0
    while not (terminated or truncated):
        if frame % every == 0:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        obs, _, terminated, truncated, _ = env.step(action)
        frame += 1
        if frame % every == 0:
            screens.append(obs)
    return np.array(screens)


class TestCropGrayResize:
    @pytest.mark.parametrize(
        ("game", "luma"),
        [
            ("Breakout", naive.BT709),
            ("Breakout", naive.BT601),
            ("Pong", naive.BT601),
            pytest.param("BeamRider", naive.BT709, marks=pytest.mark.slow),
            pytest.param("Seaquest", naive.BT601, marks=pytest.mark.slow),
        ],
    )
    def test_pixels_agree_with_naive_preprocessing(
        self, game: str, luma: tuple[float, float, float]
    ) -> None:
        """scikit-image uses BT.709 luma; this package, SB3, ale-py and TensorFlow BT.601."""
        screens = screens_of_a_game(game)
        assert len(screens) > 50
        errors = [
            crop_gray_resize(screen, crop=FIELD)[..., 0].astype(int)
            - naive.preprocess(screen, luma)
            for screen in screens[:: max(1, len(screens) // 150)]
        ]
        assert np.abs(errors).mean() < 3.0  # of 255 gray levels

    def test_pixels_match_golden_hashes(self) -> None:
        """A change of the image library shows here; the input's hash is checked first."""
        rng = np.random.default_rng(0)
        screen = rng.integers(0, 256, (210, 160, 3), np.uint8)
        assert sha(screen) == "8680516f859980c4"
        assert sha(crop_gray_resize(screen)) == "b68698c70655a029"
        assert sha(crop_gray_resize(screen, crop=FIELD)) == "7e07710c6313b846"
        assert sha(crop_gray_resize(screen, crop=FIELD, shape=(42, 50))) == "1f07ccfc219c2544"

    def test_without_a_crop_pixels_equal_sb3_warp_frame(self) -> None:
        ours, theirs = CropGrayResize(FakeScreens()), WarpFrame(FakeScreens())
        assert ours.observation_space == theirs.observation_space
        for _ in range(20):
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])

    def test_order_of_crop_and_grayscale_does_not_matter(self) -> None:
        ours = CropGrayResize(FakeScreens(), crop=FIELD)
        for _ in range(20):
            gray = cv2.cvtColor(ours.unwrapped.next_screen(), cv2.COLOR_RGB2GRAY)
            obs, _ = ours.reset()
            np.testing.assert_array_equal(obs, crop_gray_resize(gray, crop=FIELD))
            np.testing.assert_array_equal(obs, crop_gray_resize(gray[..., None], crop=FIELD))

    @pytest.mark.parametrize("keep_dim", [True, False])
    def test_grayscale_frames_are_not_converted_again(self, keep_dim: bool) -> None:
        env = CropGrayResize(
            GrayscaleObservation(FakeScreens(), keep_dim=keep_dim), shape=(210, 160)
        )
        gray = GrayscaleObservation(FakeScreens(), keep_dim=True)
        np.testing.assert_array_equal(env.reset()[0], gray.reset()[0])

    def test_crop_values_are_slice_bounds(self) -> None:
        screen = np.zeros((210, 160, 3), np.uint8)
        screen[40:50, 20:35] = 255
        inside = crop_gray_resize(screen, crop=(40, 50, 20, 35), shape=(10, 15))
        assert (inside == 255).all()
        for crop in ((39, 50, 20, 35), (40, 51, 20, 35), (40, 50, 19, 35), (40, 50, 20, 36)):
            shape = (crop[1] - crop[0], crop[3] - crop[2])
            assert (crop_gray_resize(screen, crop=crop, shape=shape) == 0).any()

    def test_shape_is_height_then_width(self) -> None:
        env = CropGrayResize(FakeScreens(), shape=[50, 100])
        assert env.reset()[0].shape == (50, 100, 1) == env.observation_space.shape
        assert env.reset()[0] in env.observation_space

    @pytest.mark.parametrize(
        ("arguments", "error", "named"),
        [
            ({"crop": (30, 211, 5, 155)}, ValueError, "at most 210"),
            ({"crop": (30, 195, 5, 161)}, ValueError, "at most 160"),
            ({"crop": (-1, 195, 5, 155)}, ValueError, "top .* -1"),
            ({"crop": (195, 195, 5, 155)}, ValueError, "195, 195"),
            ({"crop": (30, 195, 155, 5)}, ValueError, "155, 5"),
            ({"crop": (30, 195, 5)}, ValueError, r"\(30, 195, 5\)"),
            ({"crop": "full"}, ValueError, "'full'"),
            ({"crop": (0, 0.9, 0, 1)}, TypeError, r"bottom .* 0\.9"),
            ({"shape": (84, -1)}, ValueError, "shape .* -1"),
            ({"shape": (84,)}, ValueError, r"\(84,\)"),
            ({"shape": 84}, ValueError, "84"),
            ({"shape": "84x84"}, ValueError, "84x84"),
        ],
    )
    def test_rejects_an_invalid_crop_or_shape(
        self, arguments: Any, error: type[Exception], named: str
    ) -> None:
        with pytest.raises(error, match=named):
            CropGrayResize(FakeScreens(), **arguments)

    @pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v4"])
    def test_rejects_observations_that_are_not_images(self, env_id: str) -> None:
        for wrapper in (CropGrayResize, FrameStack):
            with pytest.raises(ValueError, match=wrapper.__name__):
                wrapper(gym.make(env_id))

    def test_rejects_stacked_observations(self) -> None:
        with pytest.raises(ValueError, match="4 channels"):
            CropGrayResize(FrameStack(CropGrayResize(FakeScreens())))


class FakeScreens(FakeGame):
    """Environment with random RGB screens, the same for each instance."""

    def __init__(self) -> None:
        super().__init__(shape=(210, 160, 3))
        self.rng = np.random.default_rng(0)

    def _look(self) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, (210, 160, 3), np.uint8)

    def next_screen(self) -> NDArray[np.uint8]:
        """Return the next screen without advancing the generator."""
        return deepcopy(self)._look()


class GrayNoise(gym.Env[NDArray[np.uint8], int]):
    """Environment with random images and episodes of random length."""

    def __init__(self, seed: int, shape: tuple[int, ...] = (6, 7, 1)) -> None:
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(2)
        self.rng = np.random.default_rng(seed)

    def _look(self) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, self.observation_space.shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._look(), {}

    def step(self, action: int) -> Any:
        return self._look(), 0.0, bool(self.rng.random() < 0.2), False, {}


class TestFrameStack:
    @pytest.mark.parametrize("padding", ["repeat", "zero"])
    @pytest.mark.parametrize("n_stack", [1, 2, 4, 5])
    @pytest.mark.parametrize("shape", [(6, 7, 1), (6, 7), (6, 7, 3)])
    def test_agrees_with_naive_stacking(
        self, padding: Any, n_stack: int, shape: tuple[int, ...]
    ) -> None:
        for seed in range(5):
            ours = FrameStack(GrayNoise(seed, shape), n_stack=n_stack, padding=padding)
            plain = GrayNoise(seed, shape)
            done = True
            for _ in range(40):
                if done:
                    obs, frame, done = ours.reset()[0], plain.reset()[0], False
                    first = frame if padding == "repeat" else np.zeros_like(frame)
                    frames = [first] * (n_stack - 1)
                else:
                    obs, frame = ours.step(0)[0], None
                    frame, _, done, _, _ = plain.step(0)
                frames.append(frame)
                expected = np.concatenate([f.reshape(6, 7, -1) for f in frames[-n_stack:]], -1)
                np.testing.assert_array_equal(obs, expected)
                assert obs in ours.observation_space

    def test_zero_padding_equals_sb3_vec_frame_stack(self) -> None:
        ours = DummyVecEnv([lambda: FrameStack(GrayNoise(3), padding="zero")])
        theirs = VecFrameStack(DummyVecEnv([lambda: GrayNoise(3)]), 4)
        np.testing.assert_array_equal(ours.reset(), theirs.reset())
        for _ in range(50):
            obs, _, done, infos = ours.step(np.array([0]))
            obs_2, _, done_2, infos_2 = theirs.step(np.array([0]))
            np.testing.assert_array_equal(obs, obs_2)
            assert done[0] == done_2[0]
            if done[0]:
                np.testing.assert_array_equal(
                    infos[0]["terminal_observation"], infos_2[0]["terminal_observation"]
                )

    def test_observations_are_copies(self) -> None:
        env = FrameStack(FakeGame(reuse_array=True), n_stack=2)
        first = env.reset()[0]
        second = env.step(0)[0]
        kept = second.copy()
        first[:] = 255
        third = env.step(0)[0]
        np.testing.assert_array_equal(second, kept)
        second[:] = 255
        assert third[0, 0].tolist() == [1, 1, 99, 1, 2, 98]

    @pytest.mark.parametrize(
        ("arguments", "error", "named"),
        [
            ({"n_stack": 0}, ValueError, "n_stack .* 0"),
            ({"n_stack": 4.0}, TypeError, r"n_stack .* 4\.0"),
            ({"padding": "edge"}, ValueError, "'edge'"),
        ],
    )
    def test_rejects_invalid_arguments(
        self, arguments: Any, error: type[Exception], named: str
    ) -> None:
        with pytest.raises(error, match=named):
            FrameStack(GrayNoise(0), **arguments)


class TestStackedTwice:
    @pytest.mark.parametrize("shape", [(16, 84, 84), (84, 84, 16)])
    def test_warns_once_about_too_many_channels(self, shape: tuple[int, ...]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            warn_if_stacked_twice(spaces.Box(0, 255, shape, np.uint8))
            warn_if_stacked_twice(spaces.Box(0, 255, shape, np.uint8))  # from another line
        assert ["16 channels" in str(one.message) for one in caught] == [True]

    @pytest.mark.parametrize(
        "space",
        [
            spaces.Box(0, 255, (12, 84, 84), np.uint8),
            spaces.Discrete(500),
            spaces.Box(-1, 1, (99,)),
        ],
    )
    def test_accepts_a_single_stack_and_non_images(self, space: spaces.Space[Any]) -> None:
        warn_if_stacked_twice(space)
