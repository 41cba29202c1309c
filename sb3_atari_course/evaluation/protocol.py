"""Protocol of an evaluation: the score keeper of a game, and the rules read from its wrappers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.wrappers import AtariPreprocessing, StickyAction, TimeLimit
from stable_baselines3.common.atari_wrappers import NoopResetEnv, StickyActionEnv

from sb3_atari_course.envs import GRAY_SCREENS, is_atari, make_game
from sb3_atari_course.wrappers import NoopReset
from sb3_atari_course.wrappers.timing import frames_per_step, layers

#: Arguments of :func:`gymnasium.make` that say nothing about the rules, or are found in the limits.
_NOT_RULES = ("render_mode", "max_episode_steps")

#: Settings of an emulator that the protocol decides -> the argument that does.
RULES = {
    "max_num_frames_per_episode": "max_frames",
    "repeat_action_probability": "sticky_actions",
}


@dataclass
class EpisodeStatistics:
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


class ScoreKeeper(gym.Wrapper[Any, Any, Any, Any]):
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
        self.statistics, self.over, self._begun = EpisodeStatistics(), False, False

    def cut_off(self) -> None:
        """End the game here, for a limit that stands outside."""
        if not self.over:
            self.over = self.statistics.was_cut_off = True

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
            statistics = self.statistics
            statistics.score += float(reward)
            statistics.n_penalties += int(float(reward) == self.penalty)
            statistics.n_frames = info.get("episode_frame_number", statistics.n_frames + 1)
            statistics.was_cut_off = truncated and not terminated
            self.over = terminated or truncated
        return obs, reward, terminated, truncated, info


def make_score_keeper(
    env_id: str, max_frames: int, sticky_actions: float, env_kwargs: dict[str, Any]
) -> ScoreKeeper:
    """Make the env with its cap and the rules of the protocol.

    :raises ValueError: for ``env_kwargs`` that the protocol decides.
    """
    if is_atari(env_id):
        for name in RULES.keys() & env_kwargs.keys():
            raise ValueError(
                f"env_kwargs has {name}={env_kwargs[name]!r}, which the protocol decides: pass"
                f" {RULES[name]}=... instead"
            )
        rules = dict(zip(RULES, (max_frames, sticky_actions), strict=True))
        keeper = ScoreKeeper(make_game(env_id, **{**GRAY_SCREENS, **env_kwargs, **rules}))
    else:
        keeper = ScoreKeeper(TimeLimit(make_game(env_id, **env_kwargs), max_frames))
    keeper.max_frames = max_frames
    return keeper


def protocol_of(
    env: gym.Env[Any, Any], keeper: ScoreKeeper, env_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return how an environment is played, name -> value, ready for JSON.

    :param env: with all wrappers.
    :param keeper: inside.
    :param env_kwargs: with which it was made.
    :raises ValueError: for sticky actions at two places, or repeated for several steps.
    """
    spec = keeper.unwrapped.spec
    if spec is None or not is_atari(spec.id):
        protocol = {**_limits(env, keeper, "steps"), **_sticky_actions(env)}
        rules = {key: value for key, value in env_kwargs.items() if key not in _NOT_RULES}
        return protocol | ({"env_kwargs": _plain(rules)} if rules else {})
    emulator: Any = keeper.unwrapped
    mode, difficulty = emulator._game_mode, emulator._game_difficulty
    return {
        **_limits(env, keeper, "frames"),
        "frames_per_step": frames_per_step(env),
        "noop_max_frames": find_noops(env) or 0,
        "sticky_actions": 0.0,
        **_sticky_actions(env),
        "mode": "default" if mode is None else int(mode),
        "difficulty": "default" if difficulty is None else int(difficulty),
        "full_action_space": bool(spec.kwargs.get("full_action_space", False)),
        "screens": emulator._obs_type,
        "whole_games": True,
        "clipped": False,
    }


def find_noops(env: gym.Env[Any, Any], outside: gym.Env[Any, Any] | None = None) -> int | None:
    """Return the most no-ops that the wrappers play at a reset, in frames.

    :param outside: look at the wrappers outside of this one only.
    :return: None if no wrapper plays any.
    """
    found = []
    for layer in layers(env):
        if layer is outside:
            break
        if isinstance(layer, (NoopReset, NoopResetEnv, AtariPreprocessing)):
            found.append(layer.noop_max * frames_per_step(layer.env))
    return sum(found) if found else None


def _limits(env: gym.Env[Any, Any], keeper: ScoreKeeper, unit: str) -> dict[str, Any]:
    """Return the cap of a game: the lowest of the score keeper's and the time limits that it sees.

    ``time_limit`` is there for a limit outside: it does not see the frames that a reset plays, and
    starts over at each.
    """
    cap, outside = keeper.max_frames, {}
    is_inside = False
    for layer in layers(env):
        is_inside = is_inside or layer is keeper
        steps = vars(layer).get("_max_episode_steps")  # of Gymnasium's TimeLimit, or RL Zoo's
        if steps is None:
            continue
        n_frames = frames_per_step(layer)
        if is_inside or unit == "steps":
            cap = min(cap, steps * n_frames)
        else:
            outside = {"time_limit": f"{steps} steps of {n_frames} frames from each reset"}
    return {f"max_{unit}": cap, **outside}


def _sticky_actions(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Return the probability of repeating the last action, nothing if there is none.

    ``sticky_frames`` is there if a wrapper repeats it for more than one frame at a time.
    """
    found = []
    for layer in layers(env):
        if isinstance(layer, StickyAction):
            found.append((float(layer.repeat_action_probability), frames_per_step(layer.env)))
            if layer.repeat_action_duration_range != (1, 1):
                raise ValueError(
                    "StickyAction with a repeat_action_duration of"
                    f" {layer.repeat_action_duration_range} steps: scores are comparable for 1 only"
                )
        elif isinstance(layer, StickyActionEnv):
            found.append((float(layer.action_repeat_probability), frames_per_step(layer.env)))
    emulator = getattr(env.unwrapped, "ale", None)
    if emulator is not None:
        found.append((round(emulator.getFloat("repeat_action_probability"), 6), 1))
    found = [(chance, n_frames) for chance, n_frames in found if chance > 0]
    if len(found) > 1:
        raise ValueError(
            f"actions are sticky twice, with the probabilities {[chance for chance, _ in found]}:"
            " leave out sticky_actions=, or the wrapper that repeats actions"
        )
    if not found:
        return {}
    ((chance, n_frames),) = found
    return {"sticky_actions": chance} | ({"sticky_frames": n_frames} if n_frames > 1 else {})


def _plain(value: Any) -> Any:
    """Return a value of ``env_kwargs`` as JSON can hold it, other objects as their ``repr``."""
    text = json.dumps(value, default=lambda one: getattr(one, "tolist", lambda: repr(one))())
    return json.loads(text)
