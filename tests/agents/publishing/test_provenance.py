"""Where an agent comes from, and that no folder of the machine that trained it is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sb3_atari_course.agents.publishing.provenance import (
    describe_machine,
    find_commit,
    find_versions,
    wall_clock,
)
from sb3_atari_course.agents.publishing.settings import shown_command


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("/home/me/.venv/bin/python -m sb3_atari_course train --algo dqn --seed 2",
         "python -m sb3_atari_course train --algo dqn --seed 2"),
        ("python3 -m sb3_atari_course train -conf /home/me/a.yml -f /home/me/logs -n 9",
         "python -m sb3_atari_course train -conf hyperparams/a.yml -n 9"),
        ("python -m rl_zoo3.train --conf-file sb3_atari_course.hyperparams.dqn --log-folder logs",
         "python -m rl_zoo3.train --conf-file sb3_atari_course.hyperparams.dqn"),
        ("/home/me/.venv/bin/python /home/me/.venv/bin/sb3-atari train --algo dqn",
         "python -m sb3_atari_course train --algo dqn"),
        ("python -m sb3_atari_course train -params replay_buffer_kwargs:{'n_steps': 3}",
         "python -m sb3_atari_course train -params replay_buffer_kwargs:{'n_steps': 3}"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_command_can_be_typed_elsewhere(command: str, shown: str) -> None:
    assert shown_command(command) == shown


def git(*words: str, cwd: Path) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", *who, *words], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_says_whether_files_were_changed(tmp_path: Path) -> None:
    assert find_commit(tmp_path) is None  # no checkout
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "file").write_text("one")
    git("add", "file", cwd=tmp_path)
    git("commit", "--quiet", "--message", "one", cwd=tmp_path)
    commit = git("rev-parse", "HEAD", cwd=tmp_path)
    assert find_commit(tmp_path) == commit
    git("tag", "v1", cwd=tmp_path)
    assert find_commit(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert find_commit(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(Path(__file__).parent) is None


def test_versions_and_machine() -> None:
    versions = find_versions()
    assert {"python", "sb3_atari_course", "torch", "ale-py"} <= set(versions)
    assert "unknown" not in versions.values()
    assert " cores, " in describe_machine()
    assert describe_machine().endswith((" card", "H100", "H200")) or "NVIDIA" in describe_machine()


def test_minutes_are_those_of_the_log(tmp_path: Path) -> None:
    assert wall_clock(tmp_path) is None
    log = "time/total_timesteps,time/time_elapsed\n10,6\n20,93\n"
    (tmp_path / "progress.csv").write_text(log)
    assert wall_clock(tmp_path) == 1.6  # 93 s
