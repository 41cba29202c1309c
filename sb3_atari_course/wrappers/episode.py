"""When an episode starts and ends: no-ops, lost lives, FIRE."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from sb3_atari_course._common.validation import explain_arguments, integer_at_least

Screen = NDArray[np.uint8]
Step = tuple[Screen, SupportsFloat, bool, bool, dict[str, Any]]

#: After so many FIREs in a row that end the episode or lose a life, the agent starts without one.
_MAX_FIRES = 10


class NoopReset(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Plays 1 to ``noop_max`` no-ops after each real reset, so that games start differently.

    No-ops are steps of the wrapped environment: emulator frames if this wrapper stands inside
    :class:`ActionRepeat`, as in :func:`~sb3_atari_course.envs.wrap_atari`, in SB3 and in DQN Zoo.
    Source: Mnih et al. 2015, Extended Data Table 1, "no-op max". Their number is drawn from
    ``env.np_random``, so a reset with a seed decides it.

    Games without NOOP (Backgammon, say) pass through unchanged.

    :param env: an Atari game.
    :param noop_max: most no-ops played; 0 for none.
    :raises ValueError: if ``noop_max`` is negative.
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int], *, noop_max: int = 30) -> None:
        super().__init__(env)
        self.noop_max = integer_at_least(0, "noop_max", noop_max)
        RecordConstructorArgs.__init__(self, noop_max=self.noop_max)
        self._noop = _action_called("NOOP", env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Reset and play the no-ops; if they end the game, reset once more, with the options."""
        obs, info = self.env.reset(seed=seed, options=options)
        if self._noop is None or self.noop_max == 0:
            return obs, info
        for _ in range(self.np_random.integers(1, self.noop_max + 1)):
            obs, _, terminated, truncated, info = self.env.step(self._noop)
            if terminated or truncated:
                obs, info = _reset_again(self.env, options)
        return obs, info


class LifeLossTerminal(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Reports a lost life as the end of an episode while the game goes on behind it.

    After a lost life ``terminated`` is True, and the next ``reset()`` goes on with the same game:
    it returns the last frame again and plays no step. A reset with a seed or with options, after a
    real game over or in the middle of a life really resets. SB3's wrapper plays a no-op instead,
    which can end the game, and takes a reset in the middle of a life for the start of the next one,
    so that a second evaluation begins in the middle of a game.

    The last life is no lost life: the game over itself ends the episode. Games without lives
    (no ``info["lives"]``, or always 0) pass through unchanged.

    :param env: a game whose ``info`` tells the lives left.
    """

    checkpoint_fields = ("_lives", "_last_frame")

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._lives = 0
        self._last_frame: tuple[Screen, dict[str, Any]] | None = None  # set while a life is lost

    @property
    def game_continues(self) -> bool:
        """Whether the next ``reset()`` continues the same game."""
        return self._last_frame is not None

    def step(self, action: int) -> Step:
        """Step, with ``terminated`` at a lost life."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        life_is_lost = _is_life_lost(self._lives, info, terminated or truncated)
        self._lives = info.get("lives", 0)
        self._last_frame = (obs.copy(), dict(info)) if life_is_lost else None
        return obs, reward, terminated or life_is_lost, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Go on after a lost life, or start a new game."""
        go_on = self._last_frame if seed is None and not options else None
        self._last_frame = None
        obs, info = go_on or self.env.reset(seed=seed, options=options)
        self._lives = info.get("lives", 0)
        return obs, info


class FireOnReset(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Presses FIRE at the start of every life, for games that stand still until then.

    FIRE is one step of the wrapped environment: one agent step of 4 frames around
    :class:`ActionRepeat`. It is pressed inside ``reset()`` and, if a lost life does not end the
    episode (no :class:`LifeLossTerminal` inside), right after the step that lost it; that step
    then returns the frame after FIRE and both rewards. A FIRE that itself loses a life is followed
    by another one. SB3's wrapper presses FIRE and a second
    action, drops ``info`` and may return a frame of a finished episode.

    Games without FIRE pass through unchanged.

    :param env: a game; its ``info`` tells the lives left, if it has any.
    """

    checkpoint_fields = ("_lives",)

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._fire = _action_called("FIRE", env)
        self._lives = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Reset and press FIRE; again if the FIRE itself lost a life or ended the episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._lives = info.get("lives", 0)
        if self._fire is not None:
            for _ in range(_MAX_FIRES):
                (obs, _, terminated, truncated, info), life_is_lost = self._play(self._fire)
                if terminated or truncated:
                    obs, info = _reset_again(self.env, options)
                    self._lives = info.get("lives", 0)
                elif not life_is_lost:
                    break
        return obs, info

    def step(self, action: int) -> Step:
        """Step, and press FIRE after a lost life that did not end the episode."""
        step, life_is_lost = self._play(action)
        while life_is_lost and self._fire is not None:
            before = float(step[1])
            step, life_is_lost = self._play(self._fire)
            step = (step[0], before + float(step[1]), *step[2:])
        return step

    def _play(self, action: int) -> tuple[Step, bool]:
        """Return a step, and if it lost a life without ending the episode."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        life_is_lost = _is_life_lost(self._lives, info, terminated or truncated)
        self._lives = info.get("lives", 0)
        return (obs, reward, terminated, truncated, info), life_is_lost


def _is_life_lost(lives_before: int, info: dict[str, Any], over: bool) -> bool:
    """Return whether a step lost a life while the game continues."""
    return 0 < info.get("lives", 0) < lives_before and not over


def _reset_again(
    env: gym.Env[Screen, int], options: dict[str, Any] | None
) -> tuple[Screen, dict[str, Any]]:
    """Reset after an episode that ended inside a reset: unseeded, or it would end the same way.

    The options are for a new game; one that continues after a lost life has them already.
    """
    continues = env.has_wrapper_attr("game_continues") and env.get_wrapper_attr("game_continues")
    return env.reset(options=None if continues else options)


def _action_called(name: str, env: gym.Env[Any, Any]) -> int | None:
    """Return the index of an action by its name, None if the game or env has none."""
    get_meanings = getattr(env.unwrapped, "get_action_meanings", None)
    meanings = list(get_meanings()) if get_meanings is not None else []
    return meanings.index(name) if name in meanings else None
