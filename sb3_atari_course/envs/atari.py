"""Atari preprocessing (``wrap_atari``) and vectorized Atari environments (``make_atari_env``)."""

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

#: Keyword arguments for :func:`gymnasium.make` that select grayscale frames, as used by
#: :func:`make_atari_env` and :func:`~sb3_atari_course.evaluation.evaluate_games`.
GRAY_SCREENS = {"obs_type": "grayscale"}


#: Arguments of :func:`gymnasium.make` itself.
_MAKE_ARGUMENTS = ("max_episode_steps", "disable_env_checker")
#: Arguments of an Atari game that are bools.
_BOOL_ARGUMENTS = {"full_action_space", "continuous", "sound_obs"}


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
    """Atari preprocessing: apply the wrappers of this package to one game, in the right order.

    Mirrors SB3's ``AtariWrapper``. Can be used as ``env_wrapper`` in an RL Zoo yml file.

    :param env: a game that plays one frame per step, e.g. any NoFrameskip-v4 id. If a
        Monitor is used, apply it first: it records unclipped returns and emulator frames of full
        games.
    :param crop: (top, bottom, left, right) in pixels, see :class:`.CropGrayResize`; None for the
        whole frame.
    :param shape: (h, w) of a frame in pixels.
    :param noop_max: maximum number of no-ops at the start of a game, in emulator frames (in steps
        of a game that skips frames itself); 0 for none.
    :param frame_skip: emulator frames per agent step; 1 for a game that skips frames itself.
    :param terminal_on_life_loss: end the episode when a life is lost.
    :param fire_on_reset: press FIRE at the start of every life.
    :param clip_reward: clip the reward to its sign.
    :param n_stack: number of stacked frames; at the start of an episode the first frame is
        repeated. None for no stacking (with ``frame_stack`` in a yml file, or SB3's
        ``VecFrameStack``).
    :return: the wrapped environment, with observations of shape (h, w, 1), or (h, w, n_stack), and
        dtype uint8.
    :raises ValueError: if a value is out of range, if ``env`` skips frames already while
        ``frame_skip > 1``, if its actions are continuous, if its observations are not images.
    :raises TypeError: for an unknown argument, for a value of the wrong type, if ``env`` is not an
        environment.
    """
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"wrap_atari needs a Gymnasium environment, got {env!r}: use make_atari_env for an id"
        )
    if not isinstance(env.unwrapped, AtariEnv) and not _shows_images(env.observation_space):
        raise ValueError(not_atari(env.spec.id if env.spec else str(env)))
    if not isinstance(env.action_space, spaces.Discrete):
        raise ValueError(
            f"wrap_atari needs discrete actions, got {env.action_space}: make the game with"
            " continuous=False"
        )
    #                                                   one step        observation
    if integer_at_least(0, "noop_max", noop_max) != 0:
        env = NoopReset(env, noop_max=noop_max)  #      1 frame         (210, 160, 3)
    if integer_at_least(1, "frame_skip", frame_skip) != 1:
        env = ActionRepeat(env, frame_skip=frame_skip)  # 4 frames      max of the last 2
    if boolean("terminal_on_life_loss", terminal_on_life_loss):
        env = LifeLossTerminal(env)  #                  ends at a life loss
    if boolean("fire_on_reset", fire_on_reset):
        env = FireOnReset(env)  #                       starts with FIRE
    env = CropGrayResize(env, crop=crop, shape=shape)  #                (84, 84, 1)
    if boolean("clip_reward", clip_reward):
        env = ClipReward(env)  #                        reward: the sign
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
    """Make a vectorized Atari environment (SB3 ``VecEnv``) with preprocessing and frame stacking.

    Ready for the ``CnnPolicy`` of any SB3 algorithm. Unlike the result of SB3's function of the
    same name, observations are already stacked: do not add ``VecFrameStack``.

    The emulator renders grayscale frames (``obs_type="grayscale"``), so the maximum over two
    frames is taken after the conversion to grayscale, as in Gymnasium, Dopamine and ale-py's vector
    environment. SB3, RL Zoo and the DQN paper take the maximum of RGB frames;
    ``env_kwargs=dict(obs_type="rgb")`` does the same, a little slower. Pixels differ in games with
    flickering sprites (MsPacman), not in Breakout.

    :param env_id: a game that plays one frame per step, e.g. ``"BreakoutNoFrameskip-v4"``.
    :param n_envs: number of environments.
    :param native: use ale-py's C++ backend, see :class:`.NativeAtariVecEnv` for the differences;
        ``vec_env_kwargs`` are then its arguments, e.g. ``monitor_dir`` or ``n_threads``.
    :param seed: environment i is seeded with ``seed + i``; None for a random seed.
    :param n_stack: number of stacked frames.
    :param env_kwargs: arguments of :func:`gymnasium.make`.
    :param wrapper_kwargs: arguments of :func:`wrap_atari`.
    :param vec_env_kwargs: arguments of SB3's
        :func:`~stable_baselines3.common.env_util.make_vec_env`, e.g. ``monitor_dir`` or
        ``vec_env_cls``.
    :return: the vectorized environment, with observations of shape (n_envs, n_stack, h, w), dtype
        uint8. ``info["episode"]`` has the returns and lengths (in emulator frames) of full games as
        SB3's Monitor records them: unclipped, with no-ops and their rewards, without the frames
        that some emulators play during a reset.
    :raises ValueError: for an unknown id, an environment that is not an Atari game, ``n_envs``
        below 1, and as :func:`wrap_atari` does.
    :raises TypeError: for an unknown argument, and for a value of the wrong type.
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
    """Make a game in a worker process accessible to checkpoints."""
    return SavableEnv(wrap_atari(env, **kwargs))


def make_game(env_id: str, **env_kwargs: Any) -> gym.Env[Any, Any]:
    """Make any registered environment, with checked arguments if it is an Atari game.

    :param env_id: an id registered by Gymnasium, ale-py or :func:`register_envs`.
    :param env_kwargs: arguments of :func:`gymnasium.make`.
    :return: the environment.
    :raises ValueError: for an unknown id, and for a mode or difficulty that the game does not have.
    :raises TypeError: for an unknown argument of a game, and for a flag that is not a bool.
    """
    spec = find_spec(env_id)
    if not is_atari(env_id):
        return gym.make(spec, **env_kwargs)
    known = inspect.signature(AtariEnv.__init__).parameters
    refuse_unknown(env_id, env_kwargs, [*known, *_MAKE_ARGUMENTS])
    for flag in _BOOL_ARGUMENTS.intersection(env_kwargs):
        boolean(flag, env_kwargs[flag])
    try:
        return gym.make(spec, **env_kwargs)
    except RuntimeError as error:  # raised by the emulator
        raise ValueError(f"{env_id} cannot be made with {env_kwargs}: {error}") from error


def _shows_images(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) > 1 and space.dtype == np.uint8
