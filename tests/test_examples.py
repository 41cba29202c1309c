"""Every example that is no lesson runs, from another folder; lessons: ``make lessons``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "ppo_with_our_pieces.py": ["one wrapper alone: (80, 80, 1)", "PPO played 500 steps"],
}


def test_all_examples_are_tested() -> None:
    others = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert {name for name in others if not name.startswith("lesson")} == set(EXAMPLES)


@pytest.mark.process
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_and_prints_its_results(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for expected in EXAMPLES[name]:
        assert expected in done.stdout
