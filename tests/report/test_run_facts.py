"""Settings, command, scores and files of a run folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sb3_atari_course.report.html_report import write_report
from sb3_atari_course.report.run_data import read_facts
from tests.report.run_folders import EVALUATION, make_run, write_games

#: FIPS 180-2, appendix B.1
SHA_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_was_run(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "CartPole-v1_3", seed=8, evaluation=EVALUATION))
    assert (facts.algo, facts.env_id, facts.seed) == ("dqn", "CartPole-v1", 8)
    assert facts.hyperparams == {"gamma": 0.9, "n_timesteps": 5000}
    assert facts.command == "python -m rl_zoo3.train --algo dqn --seed 8"
    assert facts.report is not None
    assert (facts.report.mean, facts.report.std, facts.report.random_mean) == (150, 50, 20)
    assert facts.evaluated_model == "CartPole-v1.zip"


@pytest.mark.parametrize(
    ("model", "sha256", "written_at", "evaluated"),
    [
        ("CartPole-v1.zip", SHA_OF_ABC, 20, "the agent"),  # copied: its time says nothing
        ("CartPole-v1.zip", "0" * 64, 0, "an earlier model"),
        ("CartPole-v1.zip", None, 0, "the agent"),  # of an older version
        ("CartPole-v1.zip", None, 20, "an earlier model"),
        ("best_model.zip", SHA_OF_ABC, 20, "best_model.zip"),
        ("best_model.zip", "0" * 64, 0, "an earlier model"),
        ("rl_model_50_steps.zip", "0" * 64, 20, "rl_model_50_steps.zip"),  # not there any more
    ],
)
def test_whose_scores_these_are(
    model: str, sha256: str | None, written_at: int, evaluated: str, tmp_path: Path
) -> None:
    noted = {} if sha256 is None else {"model_sha256": sha256}
    run = make_run(tmp_path / "run", evaluation={**EVALUATION, **noted, "model": model})
    os.utime(run / "evaluation.json", (10, 10))
    for name in ("CartPole-v1.zip", "best_model.zip"):
        (run / name).write_text("abc")
        os.utime(run / name, (written_at, written_at))
    facts = read_facts(run)
    assert (facts.evaluated, facts.evaluated_model) == (evaluated, model)


def test_nothing_of_it_has_to_be_there(tmp_path: Path) -> None:
    facts = read_facts(write_games(tmp_path, [1]))
    assert (facts.algo, facts.env_id, facts.seed, facts.command) == (None, None, None, "")
    assert facts.hyperparams == facts.arguments == {}
    assert facts.report is None
    assert facts.frame_skip is None
    assert not facts.is_finished


@pytest.mark.parametrize(
    ("folder", "title"),
    [("CartPole-v1_3", "dqn · CartPole-v1_3"), ("try", "dqn · CartPole-v1 · try")],
)
def test_the_title_says_everything_once(folder: str, title: str, tmp_path: Path) -> None:
    assert read_facts(make_run(tmp_path / folder)).title == title


def test_an_environment_with_a_slash(tmp_path: Path) -> None:
    """RL Zoo writes a hyphen for it."""
    run = write_games(tmp_path, [1])
    (run / "ALE-Breakout-v5").mkdir()
    (run / "ALE-Breakout-v5/args.yml").write_text("algo: dqn\nenv: ALE/Breakout-v5\n")
    (run / "ALE-Breakout-v5.zip").touch()
    facts = read_facts(run)
    assert facts.env_id == "ALE/Breakout-v5"
    assert facts.is_finished


def test_the_newest_video_counts(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "run"))
    assert facts.video is None
    (facts.folder / "videos").mkdir()
    for name, time in (("a", 20), ("b", 30), ("c", 10)):
        path = facts.folder / f"videos/{name}.mp4"
        path.touch()
        os.utime(path, (time, time))
    assert facts.video == facts.folder / "videos/b.mp4"


def test_the_report_is_no_file_of_the_run(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "run"))
    (facts.folder / "report.html").touch()
    names = [path.name for path in facts.files]
    assert names == ["0.monitor.csv", "args.yml", "command.txt", "config.yml"]


def test_an_evaluation_of_an_older_version_is_read(tmp_path: Path) -> None:
    older = {key: value for key, value in EVALUATION.items() if key != "penalties"}
    facts = read_facts(make_run(tmp_path / "run", evaluation=older))
    assert facts.report is not None
    assert facts.report.penalties == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        json.dumps({**EVALUATION, "scores": []}),
        json.dumps({**EVALUATION, "scores": ["ten"]}),
        json.dumps({**EVALUATION, "scores": 3}),
        json.dumps({**EVALUATION, "protocol": 3}),
        json.dumps({**EVALUATION, "nonsense": 3}),
        '{"scores": "\udce9"}',
    ],
)
def test_an_evaluation_that_cannot_be_read_is_named(content: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "evaluation.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"evaluation.json cannot be read: .*evaluate command aga"):
        read_facts(run)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:TOPSECRET@host/db", "postgresql://me@host/db"),
        ("mysql://host?user=me&password=TOPSECRET", "mysql://host?user=me"),
    ],
)
def test_a_password_of_an_older_run_is_not_read(address: str, shown: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "CartPole-v1_1")
    settings = run / "CartPole-v1"
    (settings / "args.yml").write_text(f"algo: dqn\nenv: CartPole-v1\nstorage: {address}\n")
    (settings / "command.txt").write_text(f"python -m rl_zoo3.train --storage {address} --seed 1")
    (settings / "config.yml").write_text(f"callback: {{my.Log: {{to: '{address}'}}}}\n")
    facts = read_facts(run)
    assert facts.arguments["storage"] == shown
    assert facts.command == f"python -m rl_zoo3.train --storage {shown} --seed 1"
    assert facts.hyperparams == {"callback": {"my.Log": {"to": shown}}}
    assert "TOPSECRET" not in write_report(run).read_text()


def test_a_video_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    """A ``record`` that was killed leaves it."""
    run = make_run(tmp_path / "run")
    (run / "videos/.part-x").mkdir(parents=True)
    (run / "videos/.part-x/a.mp4").touch()
    assert read_facts(run).video is None


def test_settings_that_are_empty_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name in ("args.yml", "config.yml"):
        content = (run / "CartPole-v1" / name).read_text()
        (run / "CartPole-v1" / name).write_text("")
        with pytest.raises(ValueError, match=name):
            read_facts(run)
        (run / "CartPole-v1" / name).write_text(content)
