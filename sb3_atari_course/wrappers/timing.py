"""Action repeat (frame skip) with max-pooling over the last two frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import (
    AtariPreprocessing,
    MaxAndSkipObservation,
    OrderEnforcing,
    PassiveEnvChecker,
    TimeLimit,
)
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course._common.validation import boolean, explain_arguments, integer_at_least
from sb3_atari_course.wrappers.episode import NoopReset

#: Wrappers that pass the observation on unchanged and do not read it after the first steps.
_TRANSPARENT = (OrderEnforcing, PassiveEnvChecker, TimeLimit, Monitor, NoopReset)


class ActionRepeat(
    gym.Wrapper[NDArray[np.uint8], int, NDArray[np.uint8], int], RecordConstructorArgs
):
    """Action repeat (frame skip): each action is held for ``frame_skip`` frames, one agent step.

    The reward is the sum over the frames, ``info`` that of the last frame. The observation is the
    pixelwise maximum of the last two frames, because some sprites are rendered only every other
    frame (Mnih et al. 2015, Methods, "Preprocessing"). If the episode ends within the step, the
    observation is the actual last frame; SB3's ``MaxAndSkipEnv`` and Gymnasium's wrappers return an
    older or a black one, which a learner would bootstrap from after a truncation.

    With an ale-py emulator skipped frames are not rendered, which saves about a tenth of the time
    of a step. Every frame still passes through every inner wrapper.

    :param env: environment that plays one frame per step; with max-pooling its observations must be
        of shape (h, w, 3) or (h, w), uint8.
    :param frame_skip: frames per agent step, at least 1.
    :param max_pool: return the maximum of the last two frames of the step; without effect if
        ``frame_skip`` is 1.
    :raises ValueError: if ``frame_skip`` is below 1, or above 1 while ``env`` skips frames already.
    :raises TypeError: if ``frame_skip`` is not an integer or ``max_pool`` not a bool.

    >>> import ale_py, gymnasium as gym
    >>> env = ActionRepeat(gym.make("BreakoutNoFrameskip-v4"), frame_skip=4)
    >>> before = env.reset(seed=0)[1]["frame_number"]
    >>> env.step(0)[-1]["frame_number"] - before
    4
    """

    checkpoint_fields = ("_checker_is_done",)

    @explain_arguments
    def __init__(
        self, env: gym.Env[NDArray[np.uint8], int], *, frame_skip: int = 4, max_pool: bool = True
    ) -> None:
        super().__init__(env)
        self.frame_skip = integer_at_least(1, "frame_skip", frame_skip)
        self.max_pool = boolean("max_pool", max_pool)
        RecordConstructorArgs.__init__(self, frame_skip=self.frame_skip, max_pool=self.max_pool)
        if self.frame_skip > 1:
            _refuse_skipping_twice(env, self.frame_skip)
        self._pools = self.max_pool and self.frame_skip > 1
        self._n_read = 2 if self._pools else 1  # frames needed, at the end of a step
        self._emulator = _find_emulator(env)
        self._checker_is_done = False  # PassiveEnvChecker reads the first two frames

    def step(
        self, action: int
    ) -> tuple[NDArray[np.uint8], SupportsFloat, bool, bool, dict[str, Any]]:
        """Play ``frame_skip`` frames.

        :param action: repeated in all frames.
        :return: observation in the inner format, summed reward, terminated, truncated, last info.
        """
        total_reward, previous = 0.0, None
        n_read = self._n_read if self._emulator and self._checker_is_done else self.frame_skip
        for n_left in range(self.frame_skip, 0, -1):  # this frame included
            step = self.env.step if n_left <= n_read else self._step_without_rendering
            obs, reward, terminated, truncated, info = step(action)
            total_reward += float(reward)
            if previous is not None:
                obs = np.maximum(previous, obs)
            elif n_left == 2 and self._pools:
                previous = obs.copy()  # the environment may reuse its array
            if terminated or truncated:
                break
        self._checker_is_done = self._checker_is_done or n_left < self.frame_skip
        return obs, total_reward, terminated, truncated, info

    def _step_without_rendering(
        self, action: int
    ) -> tuple[NDArray[np.uint8], SupportsFloat, bool, bool, dict[str, Any]]:
        """Play a frame without rendering it, unless it is the last one of the episode.

        The emulator returns its 128 bytes of RAM instead, which is 50 times cheaper.
        """
        emulator: Any = self._emulator
        obs_type, emulator._obs_type = emulator._obs_type, "ram"
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        finally:
            emulator._obs_type = obs_type
        if terminated or truncated:
            obs = emulator._get_obs()
        return obs, reward, terminated, truncated, info


def layers(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """Yield the wrappers of an environment, outermost first, then the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def frames_per_step(env: gym.Env[Any, Any]) -> int:
    """Return the number of frames per step of ``env``, the maximum if it is random.

    >>> import ale_py
    >>> frames_per_step(gym.make("Breakout-v4")), frames_per_step(gym.make("ALE/Breakout-v5"))
    (4, 4)
    """
    skip: Any = getattr(env.unwrapped, "_frameskip", 1)
    n_frames = skip if isinstance(skip, int) else skip[1] - 1  # (2, 5): 2, 3 or 4
    for layer in layers(env):
        if isinstance(layer, (ActionRepeat, AtariPreprocessing)):
            n_frames *= layer.frame_skip
        elif isinstance(layer, (MaxAndSkipEnv, MaxAndSkipObservation)):
            n_frames *= layer._skip
        elif type(layer).__name__ == "RepeatAction":  # since Gymnasium 1.3
            n_frames *= layer.num_repeats  # type: ignore[attr-defined]
    return int(n_frames)


def _refuse_skipping_twice(env: gym.Env[Any, Any], frame_skip: int) -> None:
    """Raise a ValueError if ``env`` already plays several frames per step."""
    skip = frames_per_step(env)
    if skip > 1:
        raise ValueError(
            f"{env} already plays {skip} frames per step, so frame_skip={frame_skip} would skip"
            " twice: make the game with frameskip=1 (a NoFrameskip-v4 id; in RL Zoo"
            " --env-kwargs frameskip:1), or pass frame_skip=1"
        )


def _find_emulator(env: gym.Env[Any, Any]) -> Any | None:
    """Return the ale-py emulator if its observations arrive unchanged, else None."""
    *outside, base = layers(env)
    known = type(base) is AtariEnv and hasattr(base, "_obs_type") and not base.sound_obs
    return base if known and all(type(layer) in _TRANSPARENT for layer in outside) else None
