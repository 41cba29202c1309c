"""torch.compile: the same results, and one line where there is no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch as th

from sb3_atari_course.fast_dqn.compiler import Compiled

ROOT = Path(__file__).parents[2]


def test_a_compiled_function_is_the_function() -> None:
    function = Compiled(lambda x, *, factor: (x * factor).relu().sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(3):
            x = th.randn(10, generator=th.Generator().manual_seed(seed))
            assert function(x, factor=2.0) == pytest.approx((x * 2).relu().sum().item())


def test_an_error_of_the_function_itself_is_raised() -> None:
    def wrong(x: th.Tensor) -> th.Tensor:
        return x @ th.zeros(7, 7)

    with pytest.raises(RuntimeError, match=r"mat1 and mat2|size mismatch|incompatible"):
        Compiled(wrong)(th.zeros(2, 3))


@pytest.mark.services
def test_without_a_compiler_there_is_one_line_and_training_goes_on(tmp_path: Path) -> None:
    code = (
        "from sb3_atari_course import FastDQN\n"
        "model = FastDQN('MlpPolicy', 'CartPole-v1', compile=True, learning_starts=50, seed=0)\n"
        "model.learn(120)\n"
        "print('updates:', model._n_updates)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={
            **os.environ,
            "CXX": "/nowhere/g++",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout == "updates: 18\n"
    told = [line for line in done.stderr.splitlines() if "compile=True" in line]
    assert len(told) == 1, done.stderr
    assert "has no effect" in told[0]
    assert "/nowhere/g++" in told[0]
