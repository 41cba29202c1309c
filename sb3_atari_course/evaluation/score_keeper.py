"""Who counts: one whole game at a time, beneath all other wrappers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from sb3_atari_course.envs import GRAY_SCREENS, is_atari, make_game
from sb3_atari_course.wrappers.timing import frames_per_step

#: Settings of an emulator that the protocol decides -> the argument that does.
RULES = {
    "max_num_frames_per_episode": "max_frames",
    "repeat_action_probability": "sticky_actions",
}


@dataclass
class Tally:
    """What was counted of one game.

    :param score: its true score.
    :param n_frames: its length in emulator frames (steps for an environment that is no game).
    :param n_penalties: how many of its steps paid exactly the penalty.
    :param was_cut_off: a limit ended it before it was over.
    """

    score: float = 0.0
    n_frames: int = 0
    n_penalties: int = 0
    was_cut_off: bool = False


def without_rules(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a training's environment, without those that the protocol decides."""
    return {name: value for name, value in env_kwargs.items() if name not in RULES}


class Referee(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the score of one game at a time, beneath all other wrappers.

    A game is over when the environment says so, wherever the wrappers outside hide it: inside a
    reset that presses FIRE, say. What is played after that is not counted.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.frames_per_step = frames_per_step(env)
        #: A reward that is counted as a penalty, None for none.
        self.penalty: float | None = None
        #: Cap of a game, in frames (steps for an environment that is no game).
        self.max_frames = 0
        self.start_game()

    def start_game(self) -> None:
        """Count from here; the next reset starts the game."""
        self.tally, self.over, self._begun = Tally(), False, False

    def cut_off(self) -> None:
        """End the game here, for a limit that stands outside."""
        if not self.over:
            self.over = self.tally.was_cut_off = True

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset; refused in the middle of the game."""
        if self._begun and not self.over:
            raise ValueError(
                "a wrapper of the model restarts the game when an episode ends, at a lost life"
                " perhaps: no whole game can be scored (LifeLossTerminal goes on)"
            )
        self._begun = True
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and count."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if not self.over:
            tally = self.tally
            tally.score += float(reward)
            tally.n_penalties += int(float(reward) == self.penalty)
            tally.n_frames = info.get("episode_frame_number", tally.n_frames + 1)
            tally.was_cut_off = truncated and not terminated
            self.over = terminated or truncated
        return obs, reward, terminated, truncated, info


def make_referee(
    env_id: str, max_frames: int, sticky_actions: float, env_kwargs: dict[str, Any] | None
) -> Referee:
    """Make the env with its cap and the rules of the protocol.

    :raises ValueError: for ``env_kwargs`` that the protocol decides.
    """
    made = env_kwargs or {}
    if is_atari(env_id):
        for name in RULES.keys() & made.keys():
            raise ValueError(
                f"env_kwargs has {name}={made[name]!r}, which the protocol decides: pass"
                f" {RULES[name]}=... instead"
            )
        rules = dict(zip(RULES, (max_frames, sticky_actions), strict=True))
        referee = Referee(make_game(env_id, **{**GRAY_SCREENS, **made, **rules}))
    else:
        referee = Referee(TimeLimit(make_game(env_id, **made), max_frames))
    referee.max_frames = max_frames
    return referee
