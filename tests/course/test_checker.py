"""A solution is judged in a separate process, within a limit of time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_atari_course.__main__ import main
from sb3_atari_course._common import progress
from sb3_atari_course.course import check
from sb3_atari_course.course.checker import READING, Finding, Verdict, judge_apart
from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.exercises.judging import Solution, find_blanks
from sb3_atari_course.course.student_code import Cell, needed_statements
from tests.course.lessons import last_finding, solution_of

#: runs a student's code as `check` does
in_its_own_process = pytest.mark.process


@in_its_own_process
def test_code_that_ends_its_process_is_told_and_ends_no_other() -> None:
    text = solution_of("own_env").replace(
        "        return self._observe(), {}", "        import os; os._exit(3)"
    )
    verdict = judge_apart("own_env", [Cell("mine", text)])
    assert not verdict.passed
    assert verdict.findings[0] == Finding(READING)
    assert "ended with status 3" in verdict.findings[-1].message


@in_its_own_process
def test_a_loop_without_an_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 1.0)
    text = solution_of("own_env").replace(
        "        return self._observe(), {}", "        while True: pass"
    )
    verdict = judge_apart("own_env", [Cell("mine", text)], most_seconds=8)
    assert "not finished after 8 seconds" in verdict.findings[-1].message
    assert re.search(r"Checking own_env: \d s", capsys.readouterr().err)


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
    lesson = tmp_path / "lesson.py"
    lesson.write_text(
        "from sb3_atari_course.course import check\nclass Corridor:\n    size = ...\n"
        "check('own_env')\nprint('went on')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(lesson)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "still blank" in done.stdout
    assert "went on" not in done.stdout
    assert done.stderr == "own_env first, then run this script again\n"


def test_the_verdict_tells_how_many_properties_are_left() -> None:
    verdict = Verdict("own_env", (Finding(READING), Finding("the first", "no")), n_left=5)
    text = str(verdict)
    assert "  NO  the first\n      no\n" in text
    assert text.endswith("own_env: not yet (5 more to look at after that)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "there is no Corridor in your code"),
        ("class Corridor(:", "this is not Python yet"),
        ("class Corridor:\n    size = 1 / 0\n", "ZeroDivisionError"),
        (
            solution_of("own_env").replace("reward = 1.0 if", "reward = 1.0 / 0 if"),
            r"ZeroDivisionError.*line \d+ .*: reward = 1.0 / 0 if terminated else -0.1$",
        ),
    ],
    ids=["missing", "not Python", "definition fails", "line of the error"],
)
def test_code_that_cannot_be_judged(text: str, message: str) -> None:
    assert re.search(message, last_finding("own_env", text).message)


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
