"""What the README says is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from sb3_atari_course.course.exercises import EXERCISES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


SLOW = ("many games", "a fast DQN", "a resumed training", "a table")  # they take longest
PYTHON = [
    pytest.param(code, id=name, marks=[pytest.mark.slow] * (name in SLOW))
    for name, code in zip(
        ["a network", "many games", "a fast DQN", "a memory", "a resumed training", "a table"],
        blocks("python"),
        strict=True,
    )
]


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_prints_what_it_says(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    said = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    assert said == printed.getvalue().splitlines()


def test_the_commands_of_make_are_those_without_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (conf,) = re.findall(r"^CONF := (.*)$", makefile, flags=re.MULTILINE)
    (steps,) = re.findall(r"^STEPS \?= (\d+)$", makefile, flags=re.MULTILINE)
    assert f"-conf {conf} -n {steps} -P\n" in README


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:sb3_atari_course|hyperparams|tests|docs)/[\w/.]+)`", README))),
)
def test_every_path_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_lesson_and_exercise_is_in_the_table_of_the_course() -> None:
    table = README[README.index("## The course") :]
    for lesson in (ROOT / "examples").glob("lesson*.py"):
        (row,) = re.findall(rf"^\| `{lesson.stem}`.*$", table, flags=re.MULTILINE)
        for exercise, posed_by in EXERCISES.items():
            assert (f"`{exercise}`" in row) == (posed_by == lesson.stem)
