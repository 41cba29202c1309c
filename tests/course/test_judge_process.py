"""What a student's code may do to its process: the others, and the verdict, are safe from it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sb3_atari_course.course.judge_process import Job, judge_jobs
from sb3_atari_course.course.student_code import Cell
from sb3_atari_course.course.verdict import READING, Finding, Verdict
from tests.course.lessons import solution_of

pytestmark = pytest.mark.process

_RESET = "        return self._observe(), {}"


def corridor(text: str) -> Job:
    """Return a solution of ``own_env`` that does something before each first observation."""
    solution = solution_of("own_env").replace(_RESET, f"        {text}\n{_RESET}")
    return Job("own_env", [Cell("mine", solution)])


def judged(*jobs: Job, seconds: float = 10.0) -> dict[int, Verdict]:
    """Return the verdict on each job, by its place."""
    results = judge_jobs(jobs, n_processes=2, seconds=seconds)
    return {jobs.index(job): one for job, one in results if isinstance(one, Verdict)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os; os._exit(0)", "ended with status 0"),
        ("import sys; sys.exit(0)", "your code raised SystemExit: 0"),
        ("input('your name?')", "no keyboard"),
        ("import os; os.fork()", "starts no processes"),
        ("import subprocess; subprocess.run(['ls'])", "starts no processes"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with status -9"),
    ],
)
def test_code_that_leaves_is_not_right_and_harms_no_other(text: str, words: str) -> None:
    verdicts = judged(corridor(text), corridor("pass"))
    assert not verdicts[0].passed
    assert verdicts[0].findings[0] == Finding(READING)
    assert words in verdicts[0].first_failure
    assert verdicts[1].passed


def test_code_that_deletes_its_working_folder_or_prints_much_does_not_disturb() -> None:
    delete = corridor("import os, shutil; os.path.isdir(HERE) and shutil.rmtree(HERE)")
    delete = replace(delete, cells=[Cell("top", "import os\nHERE = os.getcwd()"), *delete.cells])
    flood = corridor("[print('x' * 1000) for _ in range(1000)]")
    assert {one.passed for one in judged(delete, flood).values()} == {True}


def test_an_endless_loop_is_reported_with_its_line() -> None:
    (verdict,) = judged(corridor("while True: pass"), seconds=1.0).values()
    assert "not finished after" in verdict.first_failure
    assert verdict.first_failure.endswith("of mine: while True: pass")


def test_code_that_waits_has_a_limit_too() -> None:
    (verdict,) = judged(corridor("import time; time.sleep(600)"), seconds=1.0).values()
    assert verdict.first_failure.endswith("time.sleep(600)")
    assert re.search("not finished after [12] seconds", verdict.first_failure)


def test_a_process_that_does_not_answer_is_killed() -> None:
    stop = corridor("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    (verdict,) = judged(stop, seconds=1.0).values()
    assert "no sign of life" in verdict.first_failure


def test_findings_come_as_they_are_made() -> None:
    results = judge_jobs([corridor("pass")])
    assert next(results)[1] == Finding(READING)
    results.close()


def test_a_module_next_to_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("GOAL = 1.0\n", encoding="utf-8")
    text = "from helper import GOAL\n" + solution_of("own_env").replace("1.0 if t", "GOAL if t")
    job = Job("own_env", [Cell("mine", text)], tmp_path / "mine.py")
    assert judged(job)[0].passed
