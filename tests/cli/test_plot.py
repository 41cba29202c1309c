"""Command ``plot``: output files, and one line for an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.run_folders import EVALUATION, make_run
from tests.zoo.runs import cli

ONE, TWO = "logs/dqn/CartPole-v1_1", "logs/dqn/CartPole-v1_2"


@pytest.fixture(autouse=True)
def _two_runs(_in_an_empty_folder: None) -> None:
    make_run(Path(ONE), seed=1, evaluation=EVALUATION)
    make_run(Path(TWO), seed=2)


def plots() -> list[str]:
    found = [*Path().rglob("*.png"), *Path().rglob("*.html")]
    return sorted(path.as_posix() for path in found)


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ([ONE], [f"{ONE}/learning_curve.png", f"{ONE}/report.html"]),
        ([ONE, "--no-html"], [f"{ONE}/learning_curve.png"]),
        ([ONE, TWO], ["comparison/comparison.png", "comparison/report.html"]),
        ([ONE, "-o", "x", TWO, "--no-html"], ["x/comparison.png"]),
        ([ONE, "--output", "x", "--no-html"], ["x/learning_curve.png"]),
        (
            ["--algo", "dqn", "--env", "CartPole-v1", "--no-html"],
            [f"{TWO}/learning_curve.png"],
        ),
    ],
    ids=" ".join,
)
def test_writes_figure_and_report_into_the_run_or_output_folder(
    arguments: list[str], files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("plot", *arguments) == 0
    assert plots() == files
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in printed] == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([ONE, TWO, "--algo", "dqn"], f"got both, {ONE} {TWO} and --algo dqn"),
        ([ONE, ONE], f"{ONE} is given twice"),
        ([ONE, f"{ONE}/../CartPole-v1_1"], "is given twice"),
        (["logs/dqn"], "no monitor file in logs/dqn"),
        ([ONE, "cut"], "cut/progress.csv ends in the middle of line 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_run_prints_one_line_and_writes_nothing(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (make_run(Path("cut")) / "progress.csv").write_text("time/total_timesteps\n12")
    assert cli("plot", *arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"sb3-atari: error: {message}") or message in printed
    assert "Traceback" not in printed
    assert plots() == []


CHOICE = ["plot", "--algo", "dqn", "--env", "CartPole-v1", "--no-html"]


def test_plots_the_latest_run_with_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    Path(ONE, "CartPole-v1.zip").touch()
    assert cli(*CHOICE) == 0
    assert plots() == [f"{ONE}/learning_curve.png"]
    printed = capsys.readouterr().err
    assert printed == "CartPole-v1_2 has no model yet: using CartPole-v1_1\n"
    assert cli(*CHOICE, "--exp-id", "2") == 0
    assert plots() == [f"{ONE}/learning_curve.png", f"{TWO}/learning_curve.png"]
    Path(TWO, "CartPole-v1.zip").touch()
    assert cli(*CHOICE) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ([ONE], f"{ONE}/learning_curve.png"),
        ([ONE, TWO], "comparison/report.html"),
        ([ONE, TWO, "-o", "here"], "here/comparison.png"),
    ],
    ids=str,
)
def test_unwritable_file_prints_one_line(
    arguments: list[str], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if path.startswith("here"):
        Path("here").write_text("a file instead of the folder")
    else:
        Path(path).mkdir(parents=True)
    assert cli("plot", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert path in line
    assert not list(Path().rglob("*.part"))


def test_shows_progress(shown: list[str]) -> None:
    assert cli("plot", ONE) == 0
    assert shown == ["Plotting the learning curve", "Writing the report"]
    shown.clear()
    assert cli("plot", ONE, TWO) == 0
    assert shown == ["Comparing 2 runs", "Writing the report of 2 runs"]
