"""Environment ids: registration, lookup and checks."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import ale_py
import ale_py.registration
import ale_py.roms
import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sb3_atari_course._common import MAX_FRAMES


def is_atari(env_id: str) -> bool:
    """Return whether an id names an Atari game of ale-py.

    :param env_id: a Gymnasium id.
    :raises ValueError: for an unknown id; the message suggests the nearest one.
    :raises TypeError: if ``env_id`` is not a string.
    """
    return "AtariEnv" in str(find_spec(env_id).entry_point)


def find_spec(env_id: str) -> EnvSpec:
    """Return the Gymnasium spec of an id, after registering the ids of ale-py and this package.

    :param env_id: a Gymnasium id.
    :raises ValueError: for an unknown id; the message suggests the nearest one.
    :raises TypeError: if ``env_id`` is not a string.
    """
    if not isinstance(env_id, str):
        raise TypeError(
            f"env_id must be a string such as 'BreakoutNoFrameskip-v4', got {env_id!r}: pass an"
            " existing environment to wrap_atari instead"
        )
    register_envs()
    try:
        return gym.spec(env_id)
    except (gym.error.Error, ImportError) as error:
        raise ValueError(f"unknown environment {env_id!r}: {error}") from None


def import_packages(modules: Sequence[str]) -> None:
    """Import modules that register environments (``--gym-packages``).

    :param modules: names of the modules.
    :raises ValueError: if a module is not installed.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module exists, but one that it imports does not
            raise ValueError(
                f"--gym-packages {module}: {error}; install it, or add its folder to PYTHONPATH"
            ) from None


def not_atari(env_id: str) -> str:
    """Return the error message for an environment that is not an Atari game."""
    return f"{env_id!r} is not an Atari game: use SB3's make_vec_env without wrap_atari"


def register_envs() -> None:
    """Register ale-py's games, and the ``Deterministic-v4`` ids that ale-py has dropped.

    ``BreakoutDeterministic-v4`` and its counterparts for the other games play 4 frames per step,
    return the last one, have no sticky actions and at most 108,000 frames per game. (Gym used 3
    frames for Space Invaders, whose lasers flicker; here it is 4 for all games.) Repeated calls
    have no effect.
    """
    gym.register_envs(ale_py)
    for rom in ale_py.roms.get_all_rom_ids():
        name = ale_py.registration.rom_id_to_name(rom)
        env_id = f"{name}Deterministic-v4"
        if f"{name}NoFrameskip-v4" not in gym.registry or env_id in gym.registry:
            continue
        gym.register(
            id=env_id,
            entry_point="ale_py.env:AtariEnv",
            kwargs={
                "game": rom,
                "repeat_action_probability": 0.0,
                "full_action_space": False,
                "frameskip": 4,
                "max_num_frames_per_episode": MAX_FRAMES,
            },
        )
