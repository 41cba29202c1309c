"""Wrappers for the start and end of an episode: random no-ops, life loss as terminal, FIRE."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from sb3_atari_course._common.validation import explain_arguments, integer_at_least

Screen = NDArray[np.uint8]
Step = tuple[Screen, SupportsFloat, bool, bool, dict[str, Any]]

#: Limit of FIREs at a reset, for a game in which each of them ends the episode or loses a life.
_MAX_FIRES = 10


class NoopReset(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Random initial states by 1 to ``noop_max`` no-ops after each real reset.

    No-ops are steps of the wrapped environment: emulator frames if this wrapper is inside
    :class:`ActionRepeat`, as in :func:`~sb3_atari_course.envs.wrap_atari`, in SB3's
    ``NoopResetEnv`` and in DQN Zoo. Source: Mnih et al. 2015, Extended Data Table 1, "no-op max".
    Their number is sampled from ``env.np_random``, so a seeded reset determines it.

    Games without NOOP (for example Backgammon) are left unchanged.

    :param env: an Atari game.
    :param noop_max: maximum number of no-ops; 0 for none.
    :raises ValueError: if ``noop_max`` is negative.
    :raises TypeError: if ``noop_max`` is not an integer.
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int], *, noop_max: int = 30) -> None:
        super().__init__(env)
        self.noop_max = integer_at_least(0, "noop_max", noop_max)
        RecordConstructorArgs.__init__(self, noop_max=self.noop_max)
        self._noop = _action_index("NOOP", env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Reset and play the no-ops; if they end the game, reset again with the same options."""
        obs, info = self.env.reset(seed=seed, options=options)
        if self._noop is None or self.noop_max == 0:
            return obs, info
        for _ in range(self.np_random.integers(1, self.noop_max + 1)):
            obs, _, terminated, truncated, info = self.env.step(self._noop)
            if terminated or truncated:
                obs, info = _reset_again(self.env, options)
        return obs, info


class LifeLossTerminal(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Life loss as the end of an episode (``terminated``), while the game itself continues.

    The ``reset()`` after a life loss continues the same game: it returns the last frame again,
    without a step. A reset with a seed or with options, after game over, or in the middle of a life
    resets the game. SB3's ``EpisodicLifeEnv`` plays a no-op instead, which can end the game, and
    treats a reset in the middle of a life as the start of the next one, so that a second
    evaluation starts in the middle of a game.

    Losing the last life is the game over, which ends the episode anyway. Games without lives
    (no ``info["lives"]``, or always 0) are left unchanged.

    :param env: a game that reports the remaining lives in ``info["lives"]``.
    """

    checkpoint_fields = ("_lives", "_last_frame")

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._lives = 0
        self._last_frame: tuple[Screen, dict[str, Any]] | None = None  # set after a life loss

    @property
    def game_continues(self) -> bool:
        """Whether the next ``reset()`` continues the same game."""
        return self._last_frame is not None

    def step(self, action: int) -> Step:
        """Step; ``terminated`` is True after a life loss."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        life_is_lost = _is_life_lost(self._lives, info, terminated or truncated)
        self._lives = info.get("lives", 0)
        self._last_frame = (obs.copy(), dict(info)) if life_is_lost else None
        return obs, reward, terminated or life_is_lost, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Continue the game after a life loss, or reset it."""
        last_frame = self._last_frame if seed is None and not options else None
        self._last_frame = None
        obs, info = last_frame or self.env.reset(seed=seed, options=options)
        self._lives = info.get("lives", 0)
        return obs, info


class FireOnReset(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """FIRE at the start of every life, for games that do not start before it is pressed.

    FIRE is one step of the wrapped environment: one agent step of 4 frames around
    :class:`ActionRepeat`. It is pressed inside ``reset()`` and, if life loss does not end the
    episode (no :class:`LifeLossTerminal` inside), right after the step that lost the life; that
    step then returns the frame after FIRE and the sum of both rewards. If FIRE itself loses a life,
    it is pressed again. SB3's ``FireResetEnv`` presses FIRE and a second action, drops ``info`` and
    may return a frame of a finished episode.

    Games without FIRE are left unchanged.

    :param env: a game; if it has lives, it reports them in ``info["lives"]``.
    """

    checkpoint_fields = ("_lives",)

    @explain_arguments
    def __init__(self, env: gym.Env[Screen, int]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._fire = _action_index("FIRE", env)
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
        """Step, and press FIRE after a life loss that did not end the episode."""
        step, life_is_lost = self._play(action)
        while life_is_lost and self._fire is not None:
            before = float(step[1])
            step, life_is_lost = self._play(self._fire)
            step = (step[0], before + float(step[1]), *step[2:])
        return step

    def _play(self, action: int) -> tuple[Step, bool]:
        """Return the step, and whether it lost a life without ending the episode."""
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
    """Reset after an episode that ended inside a reset; unseeded, or it would end the same way.

    The options apply to a new game only, not to one that continues after a life loss.
    """
    continues = env.has_wrapper_attr("game_continues") and env.get_wrapper_attr("game_continues")
    return env.reset(options=None if continues else options)


def _action_index(name: str, env: gym.Env[Any, Any]) -> int | None:
    """Return the index of the action with this name, None if there is none."""
    get_meanings = getattr(env.unwrapped, "get_action_meanings", None)
    meanings = list(get_meanings()) if get_meanings is not None else []
    return meanings.index(name) if name in meanings else None
