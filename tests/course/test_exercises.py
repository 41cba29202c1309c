"""Every solution passes, every blank fails, and planted mistakes are named."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_atari_course.course.exercises import EXERCISES, load_exercise
from sb3_atari_course.course.exercises.judging import WrongError, judge, look_at, name_of
from sb3_atari_course.course.student_code import Cell
from tests.course.lessons import blank_one, last_finding, master_of, solution_of
from tests.course.students import MISTAKES, STYLES, Mistake


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_of_the_lesson_is_right(exercise: str) -> None:
    finding = last_finding(exercise, solution_of(exercise))
    assert finding.passed, finding.message


@pytest.mark.parametrize("lesson", sorted(set(EXERCISES.values())))
def test_each_single_blank_fails(lesson: str) -> None:
    exercises = [name for name, posed_by in EXERCISES.items() if posed_by == lesson]
    master = master_of(exercises[0]).read_text(encoding="utf-8")
    n_blanks = master.count("# <<<")
    assert n_blanks > 0
    for number in range(n_blanks):
        cells = [Cell("lesson", blank_one(master, number))]
        assert any(_is_blank(name, cells) for name in exercises), number


def _is_blank(exercise: str, cells: list[Cell]) -> bool:
    try:
        load_exercise(exercise).read(cells)
    except WrongError as error:
        return "still blank" in str(error)
    return False


def quick_first(mistakes: list[Mistake]) -> list[Any]:
    """Return parameters of which all but the first one for each property are slow."""
    seen = set[tuple[str, str]]()
    parameters = []
    for one in mistakes:
        key = (one.exercise, one.found_by)
        marks = [pytest.mark.slow] if key in seen else []
        seen.add(key)
        name = f"{one.exercise}: {one.wrong.strip()[:40]}"
        parameters.append(pytest.param(one, marks=marks, id=name))
    return parameters


@pytest.mark.parametrize("mistake", quick_first(MISTAKES))
def test_a_mistake_is_named_and_found_by_its_property(mistake: Mistake) -> None:
    """By that property, and by whatever finds it first."""
    cells = [Cell("lesson", mistake.text())]
    exercise = load_exercise(mistake.exercise)
    (prove,) = (one for one in exercise.properties if one.__name__ == mistake.found_by)
    *_, first = judge(exercise, cells)
    assert mistake.words in first.message
    if first.name != name_of(prove):
        assert mistake.words in look_at(prove, exercise.read(cells)).message


@pytest.mark.parametrize("exercise", EXERCISES)
def test_there_are_many_mistakes_and_styles(exercise: str) -> None:
    assert sum(one.exercise == exercise for one in MISTAKES) >= 15
    assert sum(name == exercise for name, _, _ in STYLES) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "text"),
    [pytest.param(exercise, text, id=f"{exercise}: {name}") for exercise, name, text in STYLES],
)
def test_another_style_is_right_too(exercise: str, text: str) -> None:
    finding = last_finding(exercise, solution_of(exercise) + text)
    assert finding.passed, finding.message
