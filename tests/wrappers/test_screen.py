"""Observation wrappers."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import WarpFrame
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from sb3_atari_course.wrappers import CropGrayResize, FrameStack, crop_gray_resize
from tests import naive
from tests.fakes import FakeGame

FIELD = (30, 195, 5, 155)


def sha(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]


def screens_of_a_game(game: str, every: int = 4) -> NDArray[np.uint8]:
    """Return RGB screens of one whole game of random play, every fourth: (n, H, W, 3)."""
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


def slow(*games: str) -> list[Any]:
    return [pytest.param(game, marks=pytest.mark.slow) for game in games]


class TestCropGrayResize:
    @pytest.mark.parametrize(
        "game", ["Breakout", *slow("SpaceInvaders", "BeamRider", "Freeway", "Assault")]
    )
    def test_pixels_agree_with_the_preprocessing_of_seed_002(self, game: str) -> None:
        assert self.mean_error(game, naive.BT709) < 3.0

    @pytest.mark.parametrize("game", ["Breakout", "Pong", *slow("Seaquest", "Boxing", "Enduro")])
    def test_what_is_left_is_the_weight_of_the_colours(self, game: str) -> None:
        """Seed 002's scikit-image weighs them by BT.709; ours, SB3, ale-py, TensorFlow: BT.601."""
        assert self.mean_error(game, naive.BT601) < 3.0

    def mean_error(self, game: str, luma: tuple[float, float, float]) -> float:
        """Mean absolute difference in grey levels of 255 over a whole played game."""
        screens = screens_of_a_game(game)
        assert len(screens) > 50
        errors = [
            crop_gray_resize(screen, crop=FIELD)[..., 0].astype(int)
            - naive.preprocess(screen, luma)
            for screen in screens[:: max(1, len(screens) // 150)]
        ]
        return float(np.abs(errors).mean())

    def test_pixels_are_frozen(self) -> None:
        """Image libraries change silently: the input's hash first, then ours."""
        rng = np.random.default_rng(0)
        screen = rng.integers(0, 256, (210, 160, 3), np.uint8)
        assert sha(screen) == "8680516f859980c4"
        assert sha(crop_gray_resize(screen)) == "b68698c70655a029"
        assert sha(crop_gray_resize(screen, crop=FIELD)) == "7e07710c6313b846"
        assert sha(crop_gray_resize(screen, crop=FIELD, shape=(42, 50))) == "1f07ccfc219c2544"

    def test_a_real_screen_is_frozen(self) -> None:
        env = gym.make("BreakoutNoFrameskip-v4")
        screen = env.reset(seed=0)[0]
        assert sha(screen) == "41ca329500383c52"
        assert sha(crop_gray_resize(screen, crop=FIELD)) == "67a676375447c310"

    def test_without_a_crop_it_is_sb3s_picture(self) -> None:
        ours, theirs = CropGrayResize(FakeScreens()), WarpFrame(FakeScreens())
        assert ours.observation_space == theirs.observation_space
        for _ in range(20):
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])

    def test_grey_crop_resize_and_crop_grey_resize_are_the_same(self) -> None:
        ours = CropGrayResize(FakeScreens(), crop=FIELD)
        for _ in range(20):
            gray = cv2.cvtColor(ours.unwrapped.next_screen(), cv2.COLOR_RGB2GRAY)
            obs, _ = ours.reset()
            np.testing.assert_array_equal(obs, crop_gray_resize(gray, crop=FIELD))
            np.testing.assert_array_equal(obs, crop_gray_resize(gray[..., None], crop=FIELD))

    @pytest.mark.parametrize("keep_dim", [True, False])
    def test_grey_screens_are_taken_as_they_are(self, keep_dim: bool) -> None:
        env = CropGrayResize(
            GrayscaleObservation(FakeScreens(), keep_dim=keep_dim), shape=(210, 160)
        )
        gray = GrayscaleObservation(FakeScreens(), keep_dim=True)
        np.testing.assert_array_equal(env.reset()[0], gray.reset()[0])

    def test_the_crop_is_made_of_slice_bounds(self) -> None:
        screen = np.zeros((210, 160, 3), np.uint8)
        screen[40:50, 20:35] = 255
        inside = crop_gray_resize(screen, crop=(40, 50, 20, 35), shape=(10, 15))
        assert (inside == 255).all()
        for crop in ((39, 50, 20, 35), (40, 51, 20, 35), (40, 50, 19, 35), (40, 50, 20, 36)):
            shape = (crop[1] - crop[0], crop[3] - crop[2])
            assert (crop_gray_resize(screen, crop=crop, shape=shape) == 0).any()

    def test_height_comes_before_width(self) -> None:
        env = CropGrayResize(FakeScreens(), shape=[50, 100])
        assert env.reset()[0].shape == (50, 100, 1) == env.observation_space.shape
        assert env.reset()[0] in env.observation_space

    def test_the_picture_is_an_array_of_its_own(self) -> None:
        screen = np.zeros((84, 84), np.uint8)
        crop_gray_resize(screen)[:] = 255
        assert (screen == 0).all()

    @pytest.mark.parametrize(
        ("crop", "message"),
        [
            ((30, 211, 5, 155), r"leaves the screen of 210 rows and 160 columns.*at most 210"),
            ((30, 195, 5, 161), r"leaves the screen"),
            ((-1, 195, 5, 155), r"top of crop .* at least 0, got -1"),
            ((195, 195, 5, 155), r"is empty: top must be less than bottom"),
            ((30, 195, 155, 5), r"is empty"),
            ((30, 195, 5), r"crop must be \(top, bottom, left, right\), got \(30, 195, 5\)"),
            ("full", r"crop must be .* got 'full'"),
            (30, r"crop must be .* got 30"),
        ],
    )
    def test_a_wrong_crop_is_named(self, crop: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            CropGrayResize(FakeScreens(), crop=crop)

    def test_a_crop_of_fractions_is_no_crop(self) -> None:
        with pytest.raises(TypeError, match=r"bottom of crop .* must be an integer .* got 0\.9"):
            CropGrayResize(FakeScreens(), crop=(0, 0.9, 0, 1))  # type: ignore[arg-type]

    @pytest.mark.parametrize("shape", [(0, 84), (84, -1), (84,), 84, 84.0, None, "84x84"])
    def test_a_wrong_shape_is_named(self, shape: Any) -> None:
        with pytest.raises(ValueError, match="shape"):
            CropGrayResize(FakeScreens(), shape=shape)

    @pytest.mark.parametrize(
        "env_id", ["CartPole-v1", "Taxi-v4", "ALE/Breakout-v5"], ids=["Box(4,)", "Discrete", "RAM"]
    )
    def test_an_observation_that_is_no_image_is_refused(self, env_id: str) -> None:
        kwargs = {"obs_type": "ram"} if "ALE" in env_id else {}
        for wrapper in (CropGrayResize, FrameStack):
            with pytest.raises(ValueError, match=rf"{wrapper.__name__} needs images .* got"):
                wrapper(gym.make(env_id, **kwargs))

    def test_a_stack_is_no_screen(self) -> None:
        with pytest.raises(ValueError, match=r"got 4 channels.*before the frame stack"):
            CropGrayResize(FrameStack(CropGrayResize(FakeScreens())))


class FakeScreens(FakeGame):
    """Random RGB screens, the same for each instance."""

    def __init__(self) -> None:
        super().__init__(shape=(210, 160, 3))
        self.rng = np.random.default_rng(0)

    def _look(self) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, (210, 160, 3), np.uint8)

    def next_screen(self) -> NDArray[np.uint8]:
        """Return the screen that comes next, without taking it."""
        return deepcopy(self)._look()


class GrayNoise(gym.Env[NDArray[np.uint8], int]):
    """Random pictures, episodes of random length."""

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
    def test_agrees_with_a_list_of_all_frames(
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

    def test_zero_padding_is_sb3s(self) -> None:
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

    def test_repeat_padding_is_gymnasiums(self) -> None:
        ours = FrameStack(GrayNoise(4, (6, 7)), padding="repeat")
        theirs = FrameStackObservation(GrayNoise(4, (6, 7)), 4)  # (4, 6, 7)
        for _ in range(5):
            np.testing.assert_array_equal(np.moveaxis(ours.reset()[0], -1, 0), theirs.reset()[0])
            np.testing.assert_array_equal(np.moveaxis(ours.step(0)[0], -1, 0), theirs.step(0)[0])

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
        ("n_stack", "error"), [(0, ValueError), (-4, ValueError), (4.0, TypeError)]
    )
    def test_a_wrong_n_stack_is_named(self, n_stack: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match=f"n_stack must be .* got {n_stack!r}"):
            FrameStack(GrayNoise(0), n_stack=n_stack)

    def test_a_wrong_padding_is_named(self) -> None:
        with pytest.raises(ValueError, match="padding must be 'repeat' or 'zero', got 'edge'"):
            FrameStack(GrayNoise(0), padding="edge")  # type: ignore[arg-type]
