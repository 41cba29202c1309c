"""From the emulator to the agent: the one place that knows the order of the wrappers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecTransposeImage

from sb3_atari_course._common.validation import (
    boolean,
    explain_arguments,
    integer_at_least,
    refuse_unknown,
)
from sb3_atari_course.envs.env_state import SavableEnv
from sb3_atari_course.envs.ids import find_spec, is_atari, not_atari
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.wrappers import (
    ActionRepeat,
    ClipReward,
    CropGrayResize,
    FireOnReset,
    FrameStack,
    LifeLossTerminal,
    NoopReset,
)

Screen = NDArray[np.uint8]

#: What :func:`make_atari_env` asks the emulator for, and
#: :func:`~sb3_atari_course.evaluation.evaluate_games` with it.
GRAY_SCREENS = {"obs_type": "grayscale"}


#: Arguments of :func:`gymnasium.make` itself, and flags of an Atari game.
_OF_MAKE = ("max_episode_steps", "disable_env_checker")
_FLAGS = {"full_action_space", "continuous", "sound_obs"}


@explain_arguments
def wrap_atari(
    env: gym.Env[Any, Any],
    *,
    crop: Sequence[int] | None = None,
    shape: Sequence[int] = (84, 84),
    noop_max: int = 30,
    frame_skip: int = 4,
    terminal_on_life_loss: bool = True,
    fire_on_reset: bool = True,
    clip_reward: bool = True,
    n_stack: int | None = None,
) -> gym.Env[Screen, int]:
    """Put our wrappers around one Atari game; usable as ``env_wrapper`` in an RL Zoo yml.

    :param env: a game that plays one frame a step, e.g. any NoFrameskip-v4 id; SB3's Monitor, if
        any, inside: it then counts true scores and emulator frames of whole games.
    :param crop: (top, bottom, left, right) in pixels, see :class:`.CropGrayResize`.
    :param shape: (h, w) in pixels of what the agent sees.
    :param noop_max: most no-ops at the start of a game, in emulator frames (for a game that skips
        by itself: in its steps); 0 for none.
    :param frame_skip: emulator frames per agent step; 1 for a game that skips by itself.
    :param terminal_on_life_loss: report a lost life as the end of an episode.
    :param fire_on_reset: press FIRE at the start of every life.
    :param clip_reward: pay the sign of the reward.
    :param n_stack: show the last ``n_stack`` pictures at once, the first one repeated at the start;
        None leaves the stacking to others (``frame_stack`` in a yml, SB3's VecFrameStack).
    :return: observations (h, w, 1) uint8, or (h, w, n_stack).
    :raises ValueError: if a value is out of range, if ``env`` skips frames already while
        ``frame_skip > 1``, if its actions are continuous, if it is not a game with a screen.
    :raises TypeError: for an unknown argument, for a flag that is not a bool, if ``env`` is not
        an environment.
    """
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"wrap_atari needs one Gymnasium environment, got {env!r}: make_atari_env takes an id"
        )
    if not isinstance(env.unwrapped, AtariEnv) and not _shows_images(env.observation_space):
        raise ValueError(not_atari(env.spec.id if env.spec else str(env)))
    if not isinstance(env.action_space, spaces.Discrete):
        raise ValueError(
            f"wrap_atari needs a game with discrete actions, got {env.action_space}:"
            " make it with continuous=False"
        )
    # what one step is and shows                        one step is     the agent sees
    if integer_at_least(0, "noop_max", noop_max) != 0:
        env = NoopReset(env, noop_max=noop_max)  #      1 frame         (210, 160, 3)
    if integer_at_least(1, "frame_skip", frame_skip) != 1:
        env = ActionRepeat(env, frame_skip=frame_skip)  # 4 frames      max of the last 2
    if boolean("terminal_on_life_loss", terminal_on_life_loss):
        env = LifeLossTerminal(env)  #                  done: a life    "
    if boolean("fire_on_reset", fire_on_reset):
        env = FireOnReset(env)  #                       first: FIRE     "
    env = CropGrayResize(env, crop=crop, shape=shape)  #                (84, 84, 1)
    if boolean("clip_reward", clip_reward):
        env = ClipReward(env)  #                        paid: the sign  "
    if n_stack is not None:
        env = FrameStack(env, n_stack=n_stack)  #                       (84, 84, 4)
    return env


@explain_arguments
def make_atari_env(
    env_id: str,
    n_envs: int = 1,
    *,
    native: bool = False,
    seed: int | None = None,
    n_stack: int = 4,
    env_kwargs: dict[str, Any] | None = None,
    wrapper_kwargs: dict[str, Any] | None = None,
    **vec_env_kwargs: Any,
) -> VecEnv:
    """Make an SB3 VecEnv of Atari games, ready for a CnnPolicy of any SB3 algorithm.

    The observations are stacked already: no VecFrameStack goes around it. (SB3's own function of
    the same name does not stack.)

    The emulator is asked for grey screens (``obs_type="grayscale"``), so the maximum over two
    frames is one of greys, as in Gymnasium, Dopamine and ale-py's vector env; SB3, RL Zoo and the
    DQN paper take it of colours, which ``env_kwargs=dict(obs_type="rgb")`` does too, a little
    slower. The pixels differ in games whose sprites flicker (MsPacman), not in Breakout.

    :param env_id: a game that plays one frame a step, e.g. ``"BreakoutNoFrameskip-v4"``.
    :param n_envs: number of games.
    :param native: play in ale-py's C++ threads, see :class:`.NativeAtariVecEnv`, which also tells
        what differs; ``vec_env_kwargs`` are for it then, e.g. ``monitor_dir`` or ``n_threads``.
    :param seed: game i is seeded with ``seed + i``; None for a random seed.
    :param n_stack: pictures in one observation.
    :param env_kwargs: for :func:`gymnasium.make`.
    :param wrapper_kwargs: for :func:`wrap_atari`.
    :param vec_env_kwargs: for SB3's :func:`~stable_baselines3.common.env_util.make_vec_env`, e.g.
        ``monitor_dir`` or ``vec_env_cls``.
    :return: observations (n_envs, n_stack, h, w) uint8; in ``info["episode"]`` true scores and
        lengths (in emulator frames) of whole games, as SB3's Monitor counts them: unclipped, with
        no-ops and their rewards, without the frames that some emulators play during a reset.
    :raises ValueError: for an unknown game, for another environment than an Atari game, for no game
        at all, and as :func:`wrap_atari` does.
    :raises TypeError: for an unknown argument, for an ``env_id`` that is not a string, for a
        ``native`` that is not a bool.
    """
    native = boolean("native", native)
    own_names = [name for name in locals() if name != "vec_env_kwargs"]
    integer_at_least(1, "n_envs", n_envs)
    if str(find_spec(env_id).entry_point).startswith("gymnasium."):  # others may make a game
        raise ValueError(not_atari(env_id))
    if native:
        settings = {"n_stack": n_stack, "render_mode": "rgb_array", **(wrapper_kwargs or {})}
        settings.update(env_kwargs or {}, **vec_env_kwargs)
        if "fire_on_reset" in settings:
            settings["fire"] = settings.pop("fire_on_reset")
        return NativeAtariVecEnv(env_id, n_envs, seed=seed, **settings)
    in_processes = vec_env_kwargs.get("vec_env_cls") is SubprocVecEnv
    wrapper_names = inspect.signature(wrap_atari).parameters
    refuse_unknown(
        "make_atari_env",
        vec_env_kwargs,
        dict.fromkeys([*own_names, *inspect.signature(make_vec_env).parameters]),
        {
            "wrapper_kwargs": wrapper_names,
            "env_kwargs": inspect.signature(AtariEnv.__init__).parameters,
        },
    )
    refuse_unknown("wrap_atari", wrapper_kwargs or {}, wrapper_names)
    return VecTransposeImage(
        make_vec_env(
            partial(make_game, env_id),
            n_envs=n_envs,
            seed=seed,
            env_kwargs={**GRAY_SCREENS, "render_mode": "rgb_array", **(env_kwargs or {})},
            wrapper_class=_wrap_savable if in_processes else wrap_atari,
            wrapper_kwargs={"n_stack": n_stack, **(wrapper_kwargs or {})},
            **vec_env_kwargs,
        )
    )


def _wrap_savable(env: gym.Env[Any, Any], **kwargs: Any) -> gym.Env[Screen, int]:
    """Let checkpoints reach a game in a process of its own."""
    return SavableEnv(wrap_atari(env, **kwargs))


def make_game(env_id: str, **env_kwargs: Any) -> gym.Env[Any, Any]:
    """Make any registered environment, Atari games among them.

    :param env_id: an id that Gymnasium, ale-py or :func:`register_envs` knows.
    :param env_kwargs: for :func:`gymnasium.make`.
    :raises ValueError: for an unknown id, with the nearest one; for a mode or difficulty that a
        game does not have.
    :raises TypeError: for an unknown argument of a game, for a flag that is not a bool.
    """
    spec = find_spec(env_id)
    if not is_atari(env_id):
        return gym.make(spec, **env_kwargs)
    known = inspect.signature(AtariEnv.__init__).parameters
    refuse_unknown(env_id, env_kwargs, [*known, *_OF_MAKE])
    for flag in _FLAGS.intersection(env_kwargs):
        boolean(flag, env_kwargs[flag])
    try:
        return gym.make(spec, **env_kwargs)
    except RuntimeError as error:  # of the emulator
        raise ValueError(f"{env_id} cannot be made with {env_kwargs}: {error}") from error


def _shows_images(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) > 1 and space.dtype == np.uint8
