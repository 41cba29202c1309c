"""Environment throughput: agent steps per second of the bare emulator, ours, SB3's and others.

Run:  python benchmarks/env_throughput.py [--quick]

All sides step Breakout with the same random actions, in alternating rounds of one process; the
result of a round is the number of emulator frames (including no-ops and FIRE at resets) divided by
four and by the seconds. The table shows medians over the rounds. The last line is JSON: ``a_vs_b``
is the median throughput of a divided by that of b; above 1: a is faster. ale-py's and EnvPool's
environments return full frames, 84 x 84 and four stacked, and use all cores. EnvPool runs in a
separate process (see ``envpool_side.py``), without no-ops; it is skipped if it cannot be installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_atari_env as sb3_make_atari_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/env_throughput.py`
from benchmarks import envpool_side
from sb3_atari_course import NativeAtariVecEnv, make_atari_env, register_envs, wrap_atari
from sb3_atari_course.envs.native.options import usable_threads

GAME = "BreakoutNoFrameskip-v4"
CROP = (30, 195, 5, 155)
FRAMES_PER_STEP = 4

EMULATOR = "emulator alone, 4 x act"
OURS = "ours, 1 env (wrap_atari on grayscale: crop)"
OURS_STACK = "ours, 1 env (make_atari_env: grayscale, crop, stack)"
OURS_RGB = "ours, 1 env (wrap_atari on RGB, as in RL Zoo: crop)"
SB3 = "SB3 AtariWrapper on RGB, 1 env"
GYMNASIUM = "Gymnasium AtariPreprocessing + stack, 1 env"
OURS_EIGHT = "ours, 8 envs (make_atari_env: grayscale, crop, stack)"
SB3_EIGHT = "SB3 make_atari_env + VecFrameStack + transpose, 8 envs"
NATIVE = "ours, 32 envs (NativeAtariVecEnv: full frame, stack)"
NATIVE_CROP = "ours, 32 envs (NativeAtariVecEnv: crop, stack)"
ALE_VECTOR = "ale-py AtariVectorEnv, 32 envs (no crop)"
ENVPOOL = "EnvPool, 32 envs (no crop)"
N_MANY = 32

#: Runs a given number of agent steps and returns the number of emulator frames.
Play = Callable[[int], int]


def emulator_alone() -> Play:
    """Call ``act`` four times per step without reading the screen: the limit of one core."""
    ale = gym.make(GAME).unwrapped.ale  # type: ignore[attr-defined]
    actions = ale.getMinimalActionSet()
    rng = np.random.default_rng(0)
    ale.reset_game()

    def play(n_steps: int) -> int:
        before = ale.getFrameNumber()
        for index in rng.integers(len(actions), size=n_steps).tolist():
            for _ in range(FRAMES_PER_STEP):
                ale.act(actions[index])
            if ale.game_over():
                ale.reset_game()
        return int(ale.getFrameNumber() - before)

    return play


def one_env(env: gym.Env[Any, Any]) -> Play:
    """Step one environment and reset it at the end of each episode."""
    ale = env.unwrapped.ale  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    env.reset(seed=0)

    def play(n_steps: int) -> int:
        before = ale.getFrameNumber()
        for action in rng.integers(4, size=n_steps).tolist():
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return int(ale.getFrameNumber() - before)

    return play


def vec_env(env: VecEnv) -> Play:
    """Step a VecEnv, which resets automatically."""
    ales = [unwrapped.ale for unwrapped in env.get_attr("unwrapped")]
    rng = np.random.default_rng(0)
    env.reset()

    def play(n_steps: int) -> int:
        before = sum(ale.getFrameNumber() for ale in ales)
        for _ in range(n_steps // env.num_envs):
            env.step(rng.integers(4, size=env.num_envs))
        return int(sum(ale.getFrameNumber() for ale in ales) - before)

    return play


def native(env: NativeAtariVecEnv) -> Play:
    """Step our native environment, counting frames by ``frame_number`` in its infos."""
    rng = np.random.default_rng(0)
    env.reset()
    n_played = sum(info["frame_number"] for info in env.reset_infos)

    def play(n_steps: int) -> int:
        nonlocal n_played
        for _ in range(n_steps // env.num_envs):
            _, _, dones, infos = env.step(rng.integers(4, size=env.num_envs))
        before, n_played = n_played, 0
        for i, info in enumerate(infos):  # after an episode: those of the new one
            n_played += (env.reset_infos[i] if dones[i] else info)["frame_number"]
        return int(n_played - before)

    return play


def ale_vector(env: AtariVectorEnv) -> Play:
    """Step ale-py's vectorized environment, which resets automatically."""
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    n_played = info["frame_number"].sum()

    def play(n_steps: int) -> int:
        nonlocal n_played
        for _ in range(n_steps // env.num_envs):
            *_, info = env.step(rng.integers(4, size=env.num_envs))
        before, n_played = n_played, info["frame_number"].sum()
        return int(n_played - before)

    return play


def envpool_or_none() -> Play | None:
    """Return EnvPool's side; print the reason and return None if it is not available."""
    try:
        python = envpool_side.find_python()
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"EnvPool skipped: {error}")
        return None
    return envpool_side.EnvPoolProcess(python, usable_threads(None, N_MANY))


def make_sides() -> dict[str, Play]:
    """Return all sides by their names in the table, with a Monitor where SB3 has one."""
    ours = {"crop": CROP}
    ours_one = make_atari_env(GAME, 1, seed=0, wrapper_kwargs=ours).unwrapped.envs[0]  # type: ignore[attr-defined]
    sb3_eight = sb3_make_atari_env(GAME, 8, seed=0)
    gymnasium_one = AtariPreprocessing(gym.make(GAME), terminal_on_life_loss=True)
    ale = AtariVectorEnv("breakout", N_MANY, autoreset_mode=AutoresetMode.SAME_STEP)
    plays = {
        EMULATOR: emulator_alone(),
        OURS: one_env(wrap_atari(Monitor(gym.make(GAME, obs_type="grayscale")), crop=CROP)),
        OURS_STACK: one_env(ours_one),
        OURS_RGB: one_env(wrap_atari(Monitor(gym.make(GAME)), crop=CROP)),
        SB3: one_env(AtariWrapper(Monitor(gym.make(GAME)))),
        GYMNASIUM: one_env(FrameStackObservation(gymnasium_one, 4)),
        OURS_EIGHT: vec_env(make_atari_env(GAME, 8, seed=0, wrapper_kwargs=ours)),
        SB3_EIGHT: vec_env(VecTransposeImage(VecFrameStack(sb3_eight, 4))),
        NATIVE: native(NativeAtariVecEnv(GAME, N_MANY, seed=0)),
        NATIVE_CROP: native(NativeAtariVecEnv(GAME, N_MANY, seed=0, crop=CROP)),
        ALE_VECTOR: ale_vector(ale),
    }
    envpool = envpool_or_none()
    return plays if envpool is None else {**plays, ENVPOOL: envpool}


def measure(plays: dict[str, Play], n_rounds: int, n_steps: int) -> dict[str, float]:
    """Return the median agent steps per second of each side over alternating rounds."""
    rates: dict[str, list[float]] = {name: [] for name in plays}
    for play in plays.values():  # warm-up
        play(n_steps // 10)
    for i in range(n_rounds):
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr, flush=True)
        for name, play in plays.items():
            start = time.perf_counter()
            n_frames = play(n_steps)
            rates[name].append(n_frames / FRAMES_PER_STEP / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="about two minutes")
    quick = parser.parse_args().quick
    register_envs()
    n_rounds, n_steps = (9, 640) if quick else (31, 1280)  # steps: a multiple of 32

    plays = make_sides()
    medians = measure(plays, n_rounds, n_steps)
    for play in plays.values():
        if isinstance(play, envpool_side.EnvPoolProcess):
            play.close()
    print(f"{GAME}, medians of {n_rounds} alternating rounds of {n_steps} agent steps")
    print(f"{'':56s} steps/s")
    for name, rate in medians.items():
        print(f"{name:56s} {rate:7.0f}")
    pairs = {
        "ours_vs_sb3_one_env": (OURS, SB3),
        "ours_rgb_vs_sb3_one_env": (OURS_RGB, SB3),
        "ours_vs_gymnasium_one_env": (OURS_STACK, GYMNASIUM),
        "ours_vs_emulator_one_env": (OURS, EMULATOR),
        "ours_vs_sb3_eight_envs": (OURS_EIGHT, SB3_EIGHT),
        "native_vs_sb3_dummy": (NATIVE, SB3_EIGHT),
        "native_vs_ale_vector": (NATIVE_CROP, ALE_VECTOR),
        "native_vs_envpool": (NATIVE_CROP, ENVPOOL),
    }
    ratios = {name: medians[a] / medians[b] for name, (a, b) in pairs.items() if b in medians}
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
