"""Pixel equality of the native environment and the Python wrappers, for RGB and grayscale frames.

Run:  python benchmarks/native_pixels.py [--quick]

Both sides use the same random actions without FIRE and no-ops. The Python wrappers take the
maximum of two RGB frames before the conversion to grayscale (``obs_type="rgb"``, as RL Zoo does),
or of two grayscale frames (``"grayscale"``, as ``make_atari_env`` and ale-py's native emulators
do). They differ where sprites flicker. The table shows the share of equal frames, and in brackets
the largest difference of a pixel in gray levels. The last line is JSON: the shares.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/native_pixels.py`
from sb3_atari_course import make_atari_env

GAMES = ("Breakout", "Pong", "SpaceInvaders", "MsPacman", "Seaquest")
KINDS = ("rgb", "grayscale")


def compare(game: str, kind: str, n_steps: int) -> tuple[float, int]:
    """Return the share of equal frames and the largest difference of a pixel.

    :param game: name of the game.
    :param kind: ``obs_type`` of the Python side.
    :param n_steps: agent steps.
    """
    env_id = f"{game}NoFrameskip-v4"
    same_start = {"noop_max": 0, "fire_on_reset": False}
    native = make_atari_env(env_id, native=True, n_stack=1, wrapper_kwargs=same_start)
    python = make_atari_env(
        env_id, n_stack=1, wrapper_kwargs=same_start, env_kwargs={"obs_type": kind}
    )
    rng = np.random.default_rng(0)
    frames: list[tuple[Any, Any]] = [(native.reset(), python.reset())]
    for _ in range(n_steps):
        actions = rng.integers(native.action_space.n, size=1)  # type: ignore[attr-defined]
        frames.append((native.step(actions)[0], python.step(actions)[0]))
    native.close()
    python.close()
    largest = [int(np.abs(a.astype(int) - b).max()) for a, b in frames]
    return largest.count(0) / len(largest), max(largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    n_steps = 200 if parser.parse_args().quick else 2000
    shares: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    print(f"equal frames of {n_steps} steps {'rgb':>14s} {'grayscale':>14s}")
    for game in GAMES:
        row = f"{game:32s}"
        for kind in KINDS:
            share, largest = compare(game, kind, n_steps)
            shares[kind][game] = round(share, 3)
            row += f" {share:8.1%} ({largest:3d})"
        print(row, flush=True)
    print(json.dumps({f"equal_to_{kind}": shares[kind] for kind in KINDS}))


if __name__ == "__main__":
    main()
