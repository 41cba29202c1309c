"""EnvPool's Atari environments for ``env_throughput.py``, in a separate process.

Run:  PYTHON benchmarks/envpool_side.py N_THREADS    (then numbers of agent steps on stdin)

EnvPool is not a dependency of this project, and may need other versions of shared dependencies. So
it runs in the current interpreter only if it is installed there, else in a virtual environment that
is created in the folder for temporary files. Without network access the benchmark skips EnvPool.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ENVPOOL = "envpool==1.2.5"
N_ENVS = 32
FRAMES_PER_STEP = 4


def find_python() -> str:
    """Return a Python interpreter with EnvPool, installing it in a virtual environment if needed.

    :raises RuntimeError: if EnvPool cannot be installed, with pip's last line of output.
    """
    home = Path(tempfile.gettempdir()) / "sb3_atari_course-envpool"
    python = str(home / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    for candidate in (sys.executable, python):
        if (candidate == sys.executable or home.exists()) and _has_envpool(candidate):
            return candidate
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "--quiet", ENVPOOL],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            *_, reason = ("", *(done.stderr or done.stdout).strip().splitlines())
            raise RuntimeError(reason)
    if not _has_envpool(python):
        raise RuntimeError(f"{ENVPOOL} was installed but cannot be imported")
    return python


def _has_envpool(python: str) -> bool:
    done = subprocess.run([python, "-c", "import envpool"], capture_output=True, timeout=120)
    return done.returncode == 0


class EnvPoolProcess:
    """EnvPool in another process: called with a number of agent steps, it returns the frames.

    :param python: path of the interpreter.
    :param n_threads: threads of EnvPool.
    """

    def __init__(self, python: str, n_threads: int) -> None:
        self._process = subprocess.Popen(
            [python, __file__, str(n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, n_steps: int) -> int:
        """Run agent steps in the process, and return the number of emulator frames."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{n_steps}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def main() -> None:
    """Run as many agent steps as each line of stdin states; print the number of frames.

    No-ops are disabled since EnvPool does not count their frames; nor does it count FIRE at resets.
    """
    import envpool  # type: ignore[import-not-found]
    import numpy as np

    env = envpool.make_gymnasium(
        "Breakout-v5",
        num_envs=N_ENVS,
        num_threads=int(sys.argv[1]),
        noop_max=1,
        use_fire_reset=True,
        episodic_life=False,
        reward_clip=True,
    )
    rng = np.random.default_rng(0)
    env.reset()
    for line in sys.stdin:
        n_steps = int(line) // N_ENVS
        for _ in range(n_steps):
            env.step(rng.integers(4, size=N_ENVS))
        print(n_steps * N_ENVS * FRAMES_PER_STEP, flush=True)


if __name__ == "__main__":
    main()
