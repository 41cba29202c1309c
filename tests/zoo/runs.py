"""Helpers: RL Zoo commands at toy size, in this process or a new one."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course.__main__ import main

ROOT = Path(__file__).parents[2]

#: A toy training: learning_starts, updates and an evaluation within seconds, one thread.
N_STEPS = 240
TOY = ["-n", str(N_STEPS), "--eval-freq", "200", "--eval-episodes", "1", "--num-threads", "1"]
TOY_PARAMS = ["learning_starts:100", "buffer_size:300"]


def python_m(*arguments: str, cwd: Path = ROOT, status: int = 0, timeout: float = 500) -> str:
    """Run ``python -m ...``; check its exit status and return its output."""
    process = start(*arguments, cwd=cwd)
    try:
        printed, _ = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        raise
    assert process.returncode == status, printed
    return printed


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start ``python -m ...``."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cli(*arguments: str) -> int:
    """Run one command in this process; return its exit status."""
    argv, sys.argv = sys.argv, ["sb3-atari", *arguments]
    native = ExperimentManager.default_vec_env_cls
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv, ExperimentManager.default_vec_env_cls = argv, native
        sys.modules.pop("sb3_atari_course.native_zoo", None)  # importing it sets the class again
    return 0


def printed_by(*arguments: str, cwd: Path | None = None, status: int = 0) -> str:
    """Run one command in this process; check its exit status and return its output.

    :param cwd: working folder; by default that of the tests.
    """
    before, output = Path.cwd(), io.StringIO()
    os.chdir(cwd or before)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            ended = cli(*arguments)
    finally:
        os.chdir(before)
    assert ended == status, output.getvalue()
    return output.getvalue()


def train(*arguments: str, logs: Path, params: tuple[str, ...] = (), cwd: Path = ROOT) -> str:
    """Run stock ``rl_zoo3.train`` at toy size with the given arguments."""
    return python_m(
        "rl_zoo3.train",
        *arguments,
        "-f",
        str(logs),
        "--seed",
        "1",
        *TOY,
        "-params",
        *TOY_PARAMS,
        *params,
        cwd=cwd,
    )


def weights(path: Path) -> dict[str, th.Tensor]:
    """Return the tensors of a saved policy."""
    _, tensors, _ = load_from_zip_file(path, device="cpu")
    policy: dict[str, th.Tensor] = tensors["policy"]
    return policy


def assert_learned(model: BaseAlgorithm) -> None:
    """Check that gradient steps changed the weights of every layer.

    Online and target network start equal, and no toy training reaches a target update.
    """
    policy: Any = model.policy
    assert model._n_updates > 0  # type: ignore[attr-defined]
    online = getattr(policy, "q_net", None) or policy.quantile_net
    target = getattr(policy, "q_net_target", None) or policy.quantile_net_target
    for name, parameter in online.named_parameters():
        assert (parameter != dict(target.named_parameters())[name]).any(), name
