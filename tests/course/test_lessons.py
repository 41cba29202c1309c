"""What the lessons need, and what they say of themselves."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.course.lessons import MASTERS

FIRST_THREE = MASTERS[:3]


def imports_of(master: Path) -> str:
    """Return the import statements of a lesson, one a line."""
    tree = ast.parse(master.read_text(encoding="utf-8"))
    nodes = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(ast.unparse(node) for node in nodes)


def test_there_are_eight_lessons() -> None:
    assert [path.stem.split("_")[0] for path in MASTERS] == [f"lesson{n}" for n in range(1, 9)]


@pytest.mark.process
def test_the_first_three_need_neither_box2d_nor_a_display_nor_a_gpu() -> None:
    code = "\n".join(
        [
            "import sys",
            "sys.modules['Box2D'] = None",  # importing it is an error
            *(imports_of(master) for master in FIRST_THREE),
            "gym.make('Taxi-v4'), gym.make('CartPole-v1', render_mode='rgb_array').reset()",
            "assert not torch.cuda.is_initialized()",
        ]
    )
    env = {
        key: value for key, value in os.environ.items() if key not in ("DISPLAY", "SDL_VIDEODRIVER")
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_lessons_use_public_names_only_and_end_with_questions(master: Path) -> None:
    text = master.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.startswith("_")]
    questions = text.split("## Try it yourself")[1]
    assert len(re.findall(r"^# \d\. ", questions, flags=re.MULTILINE)) >= 3
