"""Evaluation protocol: score keeping of a full game, and the rules read from its wrappers."""

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

#: Arguments of :func:`gymnasium.make` that are not rules, or that are reported as limits.
_NOT_RULES = ("render_mode", "max_episode_steps")

#: Emulator settings fixed by the protocol -> the argument that sets them.
RULES = {
    "max_num_frames_per_episode": "max_frames",
    "repeat_action_probability": "sticky_actions",
}


@dataclass
class EpisodeStatistics:
    """Statistics of one full game.

    :param score: sum of the unclipped rewards.
    :param n_frames: length in emulator frames; in steps for other environments.
    :param n_penalties: number of steps whose reward equals the penalty.
    :param was_cut_off: whether the game was truncated by a time limit.
    """

    score: float = 0.0
    n_frames: int = 0
    n_penalties: int = 0
    was_cut_off: bool = False


def without_rules(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the environment arguments of a run without those that the protocol sets."""
    return {name: value for name, value in env_kwargs.items() if name not in RULES}


class ScoreKeeper(gym.Wrapper[Any, Any, Any, Any]):
    """Innermost wrapper that records the unclipped score and the length of a full game.

    A game is over when the environment terminates or is truncated, even if outer wrappers hide it,
    for example inside a reset that presses FIRE. Later steps are not counted.

    :param env: the environment without other wrappers.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.frames_per_step = frames_per_step(env)
        #: Reward that is counted as a penalty; None counts none.
        self.penalty: float | None = None
        #: Time limit of a game in frames; in steps for other environments.
        self.max_frames = 0
        self.start_game()

    def start_game(self) -> None:
        """Reset the statistics; the next reset starts the game."""
        self.statistics, self.over, self._begun = EpisodeStatistics(), False, False

    def cut_off(self) -> None:
        """End the game as truncated, because of a time limit outside this wrapper."""
        if not self.over:
            self.over = self.statistics.was_cut_off = True

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment.

        :raises ValueError: before the game is over.
        """
        if self._begun and not self.over:
            raise ValueError(
                "a wrapper in env_wrapper restarts the game before it is over, for example at a"
                " life loss, so full games cannot be scored: use LifeLossTerminal, which continues"
                " the game"
            )
        self._begun = True
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step and update the statistics."""
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
    env_id: str,
    max_frames: int,
    sticky_actions: float,
    penalty: float | None,
    env_kwargs: dict[str, Any],
) -> ScoreKeeper:
    """Create the environment with the time limit and rules of the protocol.

    :raises ValueError: for ``env_kwargs`` that the protocol sets.
    """
    if is_atari(env_id):
        for name in RULES.keys() & env_kwargs.keys():
            raise ValueError(
                f"env_kwargs has {name}={env_kwargs[name]!r}, which the evaluation protocol sets:"
                f" pass {RULES[name]}=... instead"
            )
        rules = dict(zip(RULES, (max_frames, sticky_actions), strict=True))
        keeper = ScoreKeeper(make_game(env_id, **{**GRAY_SCREENS, **env_kwargs, **rules}))
    else:
        keeper = ScoreKeeper(TimeLimit(make_game(env_id, **env_kwargs), max_frames))
    keeper.max_frames, keeper.penalty = max_frames, penalty
    return keeper


def protocol_of(
    env: gym.Env[Any, Any], keeper: ScoreKeeper, env_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the protocol of an environment, name -> JSON-serializable value.

    :param env: the environment with all wrappers.
    :param keeper: the score keeper inside ``env``.
    :param env_kwargs: the arguments ``env`` was created with.
    :raises ValueError: for sticky actions in two places, or repeated for several steps.
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
    """Return the maximum number of no-op frames that the wrappers play at a reset.

    :param outside: consider only wrappers outside this one.
    :return: None if no wrapper plays no-ops.
    """
    found = []
    for layer in layers(env):
        if layer is outside:
            break
        if isinstance(layer, (NoopReset, NoopResetEnv, AtariPreprocessing)):
            found.append(layer.noop_max * frames_per_step(layer.env))
    return sum(found) if found else None


def _limits(env: gym.Env[Any, Any], keeper: ScoreKeeper, unit: str) -> dict[str, Any]:
    """Return the time limit of a game: the minimum of the score keeper's and those inside it.

    A limit outside is reported as ``time_limit``, because it restarts at each reset and does not
    count the frames played in a reset.
    """
    cap, outside = keeper.max_frames, {}
    is_inside = False
    for layer in layers(env):
        is_inside = is_inside or layer is keeper
        steps = vars(layer).get("_max_episode_steps")  # TimeLimit of Gymnasium or RL Zoo
        if steps is None:
            continue
        n_frames = frames_per_step(layer)
        if is_inside or unit == "steps":
            cap = min(cap, steps * n_frames)
        else:
            outside = {"time_limit": f"{steps} steps of {n_frames} frames from each reset"}
    return {f"max_{unit}": cap, **outside}


def _sticky_actions(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Return the probability of sticky actions, or an empty dict without sticky actions.

    ``sticky_frames`` is included if a wrapper repeats actions for more than one frame at a time.
    """
    found = []
    for layer in layers(env):
        if isinstance(layer, StickyAction):
            found.append((float(layer.repeat_action_probability), frames_per_step(layer.env)))
            if layer.repeat_action_duration_range != (1, 1):
                raise ValueError(
                    "StickyAction has a repeat_action_duration of"
                    f" {layer.repeat_action_duration_range} steps: only 1 gives comparable scores"
                )
        elif isinstance(layer, StickyActionEnv):
            found.append((float(layer.action_repeat_probability), frames_per_step(layer.env)))
    emulator = getattr(env.unwrapped, "ale", None)
    if emulator is not None:
        found.append((round(emulator.getFloat("repeat_action_probability"), 6), 1))
    found = [(probability, n_frames) for probability, n_frames in found if probability > 0]
    if len(found) > 1:
        raise ValueError(
            "sticky actions are set twice, with the probabilities"
            f" {[probability for probability, _ in found]}: remove sticky_actions=..., or the"
            " wrapper that repeats actions"
        )
    if not found:
        return {}
    ((probability, n_frames),) = found
    return {"sticky_actions": probability} | ({"sticky_frames": n_frames} if n_frames > 1 else {})


def _plain(value: Any) -> Any:
    """Return a JSON-serializable copy of a value, with other objects as their ``repr``."""
    text = json.dumps(value, default=lambda one: getattr(one, "tolist", lambda: repr(one))())
    return json.loads(text)
