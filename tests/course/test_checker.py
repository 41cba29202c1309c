"""A solution is checked in a separate process, and each finding printed as it is made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_atari_course.__main__ import main
from sb3_atari_course.course import check
from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.exercises.judging import (
    Exercise,
    Solution,
    WrongError,
    find_blanks,
    judge,
)
from sb3_atari_course.course.student_code import Cell, needed_statements
from sb3_atari_course.course.verdict import READING, Finding, Verdict
from tests.course.lessons import last_finding, solution_of

#: runs a student's code as `check` does
in_its_own_process = pytest.mark.process


@in_its_own_process
def test_modules_beside_the_file_can_be_imported_and_prints_do_not_disturb(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "helper.py").write_text("GOAL = 1.0\n", encoding="utf-8")
    text = solution_of("own_env").replace("reward = 1.0 if", "print('hello'); reward = GOAL if")
    (tmp_path / "mine.py").write_text(f"from helper import GOAL\n{text}", encoding="utf-8")
    assert check("own_env", tmp_path / "mine.py")
    printed = "".join(capfd.readouterr())
    assert printed.count("  ok  ") == 1 + len(load_exercise("own_env").properties)
    assert printed.endswith("own_env: right\n")
    assert "hello" not in printed


@in_its_own_process
def test_a_script_that_is_not_right_stops_at_its_check(tmp_path: Path) -> None:
    """It has no main guard, and is not run a second time in the process that judges."""
    lesson = tmp_path / "lesson.py"
    lesson.write_text(
        "print('begins')\nfrom sb3_atari_course.course import check\n"
        "class Corridor:\n    size = ...\ncheck('own_env')\nprint('went on')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(lesson)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stdout.count("begins") == 1
    assert "still blank" in done.stdout
    assert "went on" not in done.stdout
    assert done.stderr == "own_env first, then run this script again\n"


def test_the_verdict_is_right_only_if_every_property_was_looked_at() -> None:
    held, wrong = Finding(READING), Finding("the first", "no")
    assert str(wrong) == "  NO  the first\n      no"
    assert str(Verdict("own_env", (held, wrong), 7)) == (
        "own_env: not yet (5 more to look at after that)"
    )
    assert not Verdict("own_env", (held, held), 3).passed
    assert Verdict("own_env", (held, held), 2).passed
    assert not Verdict("own_env", (held, held, wrong), 2).passed  # ended after the last property
    assert Verdict("own_env", (held, wrong), 7).first_failure == "the first: no"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "there is no Corridor in your code"),
        ("class Corridor(:", "this is not Python yet"),
        ("class Corridor:\n    size = 1 / 0\n", "ZeroDivisionError.*line 2 of lesson"),
        (
            solution_of("own_env").replace("reward = 1.0 if", "reward = 1.0 / 0 if"),
            r"raised ZeroDivisionError.*line \d+ .*: reward = 1.0 / 0 if terminated else -0.1$",
        ),
        (
            "class Corridor:\n    def __init__(self): pass\n",
            "positional argument.*keep the arguments of the lesson",
        ),
        ("class Corridor:\n    def __init__(self, *_, **__): exit(0)\n", "raised SystemExit: 0"),
    ],
    ids=["missing", "not Python", "definition fails", "line of the error", "arguments", "exit"],
)
def test_code_that_cannot_be_judged(text: str, message: str) -> None:
    assert re.search(message, last_finding("own_env", text).message)


def test_of_two_definitions_in_a_file_neither_counts() -> None:
    twice = [Cell("mine.py", "def f(): return 1\n\ndef f(): return 2\n")]
    exercise = Exercise(functions=("f",), properties=())
    assert exercise.read(twice).f() == 2
    with pytest.raises(WrongError, match=r"f is defined 2 times, at line 1 of mine.py and line 3"):
        exercise.read(twice, once=True)


def ask(solution: Solution) -> None:
    """Look for the name of an answer."""
    if solution.f().name == "wrong":
        raise WrongError("it is wrong")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("return None", "the check itself failed with AttributeError"),
        ("return None.name", "your code raised AttributeError"),
        (
            "a, b = 1, 2, 3",
            "your code raised ValueError: too many values to unpack (expected 2) (env",
        ),
        ("try:\n  return P\n except Exception:\n  return None", "the check itself failed"),
    ],
)
def test_an_error_of_the_check_is_not_the_students(code: str, message: str) -> None:
    exercise = Exercise(functions=("f",), properties=(ask,))
    text = f"def f():\n {code}\n"
    *_, finding = judge(exercise, [Cell("mine", text)])
    assert finding.name == "Look for the name of an answer"
    assert finding.message.startswith(message)


def test_ellipsis_as_an_index_is_no_blank() -> None:
    def blanks(text: str) -> list[str]:
        statements = needed_statements([Cell("mine", text)], ["f"])
        return [blank for statement in statements for blank in find_blanks(statement)]

    assert not blanks("def f(x): return x[..., 0]\n")
    assert blanks("def f(x):\n    y = ...\n    return y[..., 0]\n") == [
        "line 2 of mine, in f: y = ..."
    ]


def test_replaced_functions_are_replaced_for_the_others_too() -> None:
    cells = [Cell("mine", "def g(): return 1\ndef f(): return g()\n")]
    solution = Solution(needed_statements(cells, ["f"]))
    solution.g = lambda: 2
    assert solution.f() == 2


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        pytest.param(
            ["own_env", "mine.py"], 1, "no Corridor in your code", marks=in_its_own_process
        ),
        (["own_env", "missing.py"], 2, "missing.py"),
        (["own_enf", "mine.py"], 2, "'own_env'"),
        (["own_env"], 2, "name a file"),
        (["--all"], 2, "name a file"),
        (["--all", "missing"], 2, "missing"),
        (["mine.py"], 2, "not an exercise"),
        (["--all", "--csv", "mine.py", "mine.py"], 2, "got 'mine.py'"),
        (["--all", "mine.py", "--jobs", "0"], 2, "got '0'"),
        (["--help"], 0, "lesson7_another_world"),
    ],
)
def test_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["sb3-atari", "check", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status
    assert words in "".join(capsys.readouterr())


@in_its_own_process
def test_the_help_does_not_wait_for_torch() -> None:
    code = (
        "import contextlib, sys; from sb3_atari_course.cli.check import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
