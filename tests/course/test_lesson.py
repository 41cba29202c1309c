"""How a lesson begins, and where its pictures and commands go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from sb3_atari_course.course import begin, run_command, show_picture, show_video


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_SMOKE", raising=False)
    monkeypatch.delenv("COURSE_OUTPUT", raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(sys, "argv", ["lesson"])


def test_a_lesson_has_a_separate_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert begin("lesson1") == (False, Path("course_output/lesson1"))
    assert (tmp_path / "course_output" / "lesson1").is_dir()
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "out"))
    assert begin("lesson1").folder == tmp_path / "out" / "lesson1"


def test_smoke_is_asked_for_by_a_flag_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lesson", "--smoke"])
    assert begin("lesson1").smoke
    monkeypatch.setattr(sys, "argv", ["lesson"])
    monkeypatch.setenv("COURSE_SMOKE", "1")
    assert begin("lesson1").smoke


def test_wrong_arguments_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lesson", "--smok"])
    with pytest.raises(SystemExit):
        begin("lesson1")
    assert "--smok" in capsys.readouterr().err


def test_a_script_says_where_its_picture_and_its_video_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_picture(Figure(), "a.png")
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    Path("a.mp4").write_bytes(b"video")
    show_video("a.mp4")
    assert capsys.readouterr().out == "picture: a.png\nvideo: a.mp4\n"
    with pytest.raises(ValueError, match=r"b\.mp4"):
        show_video("b.mp4")


@pytest.mark.process
def test_a_command_is_shown_with_its_last_lines_or_why_it_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = run_command("--version", show=1)
    assert capsys.readouterr().out == f"$ python -m sb3_atari_course --version\n{output}"
    with pytest.raises(ValueError, match=r"status 2:\n.*unknown command 'fly'"):
        run_command("fly")
