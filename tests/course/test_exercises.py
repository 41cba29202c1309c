"""Every solution passes, every blank fails, and planted mistakes are named."""

from __future__ import annotations

from collections import Counter

import pytest

from sb3_atari_course.course.blanks import blank, blank_one, count_blanks
from sb3_atari_course.course.exercises import EXERCISES
from sb3_atari_course.course.judge import READING
from tests.course.lessons import last_finding, master_of, solution_of
from tests.course.planted import MISTAKES, Mistake
from tests.course.unusual import UNUSUAL


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_of_the_lesson_is_right(exercise: str) -> None:
    finding = last_finding(exercise, solution_of(exercise))
    assert finding.passed, finding.message


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_students_version_is_blank(exercise: str) -> None:
    finding = last_finding(exercise, blank(master_of(exercise).read_text(encoding="utf-8")))
    assert finding.name == READING
    assert "still blank" in finding.message


@pytest.mark.parametrize("lesson", sorted({e.lesson for e in EXERCISES.values()}))
def test_each_single_blank_fails(lesson: str) -> None:
    exercises = [name for name, exercise in EXERCISES.items() if exercise.lesson == lesson]
    master = master_of(exercises[0]).read_text(encoding="utf-8")
    for number in range(count_blanks(master)):
        text = blank_one(master, number)
        messages = [last_finding(name, text).message for name in exercises]
        assert any("still blank" in message for message in messages), number


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.exercise}: {m.wrong.strip()[:40]}")
def test_a_planted_mistake_is_named(mistake: Mistake) -> None:
    right = solution_of(mistake.exercise)
    assert right.count(mistake.right) == 1, "the solution has changed"
    finding = last_finding(mistake.exercise, right.replace(mistake.right, mistake.wrong))
    assert not finding.passed
    assert mistake.words in finding.message


@pytest.mark.parametrize("exercise", UNUSUAL)
def test_another_style_is_right_too(exercise: str) -> None:
    finding = last_finding(exercise, solution_of(exercise) + UNUSUAL[exercise])
    assert finding.passed, finding.message


def test_there_are_enough_mistakes_for_each_exercise() -> None:
    counts = Counter(mistake.exercise for mistake in MISTAKES)
    assert len(MISTAKES) >= 25
    assert all(counts[name] >= 5 for name in EXERCISES)
