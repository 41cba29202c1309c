"""Every solution passes, every blank fails, and planted mistakes are named."""

from __future__ import annotations

import pytest

from sb3_atari_course.course.exercises import EXERCISES, load_exercise
from sb3_atari_course.course.exercises.judging import WrongError, look_at
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


planted = pytest.mark.parametrize(
    "mistake", MISTAKES, ids=lambda m: f"{m.exercise}: {m.wrong.strip()[:40]}"
)


@planted
def test_a_mistake_is_found_by_its_property(mistake: Mistake) -> None:
    """Those before it are looked at in the full order, below."""
    exercise = load_exercise(mistake.exercise)
    solution = exercise.read([Cell("lesson", mistake.text())])
    (prove,) = (one for one in exercise.properties if one.__name__ == mistake.found_by)
    finding = look_at(prove, solution)
    assert not finding.passed
    assert mistake.words in finding.message


@pytest.mark.slow
@planted
def test_no_property_before_finds_the_mistake(mistake: Mistake) -> None:
    assert mistake.words in last_finding(mistake.exercise, mistake.text()).message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exercise", "text"),
    [pytest.param(exercise, text, id=f"{exercise}: {name}") for exercise, name, text in STYLES],
)
def test_another_style_is_right_too(exercise: str, text: str) -> None:
    finding = last_finding(exercise, solution_of(exercise) + text)
    assert finding.passed, finding.message
